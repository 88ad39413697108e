//! The media types of files, by their extensions.

use std::path::Path;

/// Text is served as UTF-8; other formats state their own encoding.
const TYPES: &[(&str, &[&str])] = &[
    ("text/html; charset=utf-8", &["html", "htm"]),
    ("text/css; charset=utf-8", &["css"]),
    ("text/javascript; charset=utf-8", &["js", "mjs", "cjs"]),
    ("text/plain; charset=utf-8", &["txt", "md", "rs", "toml", "log", "conf"]),
    ("text/csv; charset=utf-8", &["csv"]),
    ("text/vtt; charset=utf-8", &["vtt"]),
    ("application/json", &["json", "map"]),
    ("application/manifest+json", &["webmanifest"]),
    ("application/xml", &["xml"]),
    ("application/xhtml+xml", &["xhtml"]),
    ("application/wasm", &["wasm"]),
    ("application/pdf", &["pdf"]),
    ("application/zip", &["zip"]),
    ("application/gzip", &["gz", "tgz"]),
    ("application/x-tar", &["tar"]),
    ("image/svg+xml", &["svg"]),
    ("image/png", &["png"]),
    ("image/jpeg", &["jpg", "jpeg"]),
    ("image/gif", &["gif"]),
    ("image/webp", &["webp"]),
    ("image/avif", &["avif"]),
    ("image/bmp", &["bmp"]),
    ("image/x-icon", &["ico"]),
    ("font/woff2", &["woff2"]),
    ("font/woff", &["woff"]),
    ("font/ttf", &["ttf"]),
    ("font/otf", &["otf"]),
    ("audio/mpeg", &["mp3"]),
    ("audio/ogg", &["ogg", "oga", "opus"]),
    ("audio/wav", &["wav"]),
    ("audio/flac", &["flac"]),
    ("video/mp4", &["mp4", "m4v"]),
    ("video/webm", &["webm"]),
    ("video/ogg", &["ogv"]),
];

/// Returns the type of a file, ignoring the case of its extension; browsers save the type of
/// unknown ones.
pub(crate) fn of(path: &Path) -> &'static str {
    let end = path.extension().and_then(|end| end.to_str()).unwrap_or_default();
    let is = |known: &&str| known.eq_ignore_ascii_case(end);
    let found = TYPES.iter().find(|(_, ends)| ends.iter().any(is));
    found.map_or("application/octet-stream", |(media_type, _)| media_type)
}
