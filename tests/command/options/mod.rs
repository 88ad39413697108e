//! Every option of the command is heeded: one trial for each, which looks at a socket, at a process
//! or at a file, and falls when the option is taken and forgotten.
//!
//! `options.txt` names them all. A unit test of the command compares it with what clap knows, and
//! here every line needs its trial: so an option cannot be added without one.

/// An option, and what looks at it.
type Trial = (&'static str, fn());

/// Makes a test of each line: its name, the option, and what looks at it.
macro_rules! trials {
    ($($name:ident: $option:literal, $trial:expr;)*) => {
        pub(super) const TRIALS: &[super::Trial] = &[$(($option, $trial)),*];

        mod trial {
            $(
                #[test]
                fn $name() {
                    super::super::run(super::TRIALS, $option);
                }
            )*
        }
    };
}

mod bench;
mod connect;
mod serve;

#[test]
fn every_option_has_its_trial() {
    let named: Vec<&str> = include_str!("options.txt").lines().collect();
    let table = [serve::TRIALS, connect::TRIALS, bench::TRIALS].concat();
    let has_trial: Vec<&str> = table.iter().map(|(option, _)| *option).collect();
    assert_eq!(has_trial, named, "the trials, and the lines of options.txt");
}

fn run(trials: &[Trial], option: &str) {
    let trial = trials.iter().find(|(name, _)| *name == option);
    let (_, trial) = trial.unwrap();
    trial();
}
