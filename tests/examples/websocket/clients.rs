//! More of the tests of the example `websocket`: Autobahn's cases, and undici.

use std::env;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::program::{Program, has, run};
use crate::waits::within;

/// All cases take a minute on a machine that has nothing else to do.
const ALL_CASES: Duration = Duration::from_secs(900);

/// The cases of `autobahntestsuite`, but for those about compression, which is not spoken here. Its program
/// is the one that `WSTEST` names, or else `wstest`; it needs Python 2.7.
#[test]
fn none_of_autobahns_301_cases_fails() {
    let wstest = env::var("WSTEST").unwrap_or("wstest".into());
    if !has(&wstest, &["--help"]) {
        return;
    }
    let server = Program::start("websocket", &["--message-limit", "33554432"]);
    let dir = TempDir::new().unwrap();
    let (spec, reports) = (dir.path().join("spec.json"), dir.path().join("reports"));
    let text = format!(
        r#"{{"outdir": "{}", "cases": ["*"], "exclude-cases": ["12.*", "13.*"], "exclude-agent-cases": {{}},
            "servers": [{{"agent": "ours", "url": "ws://{}"}}]}}"#,
        reports.display(),
        server.addr
    );
    fs::write(&spec, text).unwrap();
    let mut command = Command::new(wstest);
    command.args(["-m", "fuzzingclient", "-s"]).arg(&spec).current_dir(dir.path());
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    if within(ALL_CASES, || child.try_wait().unwrap()).is_none() {
        let _ = child.kill();
    }
    let status = child.wait().unwrap();
    assert!(status.success(), "{status}");
    let index = fs::read_to_string(reports.join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_str(&index).unwrap();
    let cases = index["ours"].as_object().unwrap();
    let failed: Vec<&String> = cases
        .iter()
        .filter(|(_, case)| {
            let is_right =
                |part: &str| ["OK", "INFORMATIONAL"].contains(&case[part].as_str().unwrap());
            !is_right("behavior") || !is_right("behaviorClose")
        })
        .map(|(name, _)| name)
        .collect();
    assert_eq!((cases.len(), failed), (301, vec![]));
    server.stop();
}

/// The WebSocket of the npm package `undici`, from where `NODE_PATH` says; that of browsers, in Node.
#[test]
fn undici_gets_everything_back() {
    let server = Program::start("websocket", &[]);
    if !has("node", &["--version"]) {
        return;
    }
    let finds = Command::new("node").args(["-e", "require('undici')"]).output().unwrap();
    if !finds.status.success() {
        println!("skipped: the npm package undici is not installed, or NODE_PATH does not name it");
        return;
    }
    let script = r"
const { WebSocket } = require('undici');
const assert = require('assert');
const ws = new WebSocket(process.argv[1]);
ws.binaryType = 'arraybuffer';
const sent = ['', 'a', 'κόσμε'.repeat(100), 'x'.repeat(65536), new Uint8Array(1 << 20).fill(7).buffer];
let got = 0;
ws.onopen = () => sent.forEach((message) => ws.send(message));
ws.onmessage = ({ data }) => {
  assert.deepStrictEqual(data, sent[got], 'message ' + got);
  got += 1;
  if (got == sent.length) ws.close(4321, 'enough');
};
ws.onclose = ({ code, wasClean }) => {
  assert(wasClean && code === 4321 && got === sent.length, code);
  console.log('all came back');
};
";
    let url = format!("ws://{}/", server.addr);
    let output = run(Command::new("node").args(["-e", script, &url]));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "all came back\n");
    server.stop();
}
