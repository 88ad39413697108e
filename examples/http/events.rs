//! Server-sent events: the date once a second, and a page that shows it.

/// The page at `/clock`.
pub(crate) const PAGE: &str = r#"<!doctype html>
<meta charset="utf-8">
<title>Clock</title>
<h1 id="time">no event yet</h1>
<p>Events so far: <span id="count">0</span></p>
<script>
  const events = new EventSource("/events");
  events.onmessage = (event) => {
    document.getElementById("time").textContent = event.data;
    document.getElementById("count").textContent = event.lastEventId;
  };
</script>
"#;

/// Formats one event, as a chunk if the answer is chunked.
pub(crate) fn event(id: u64, date: &str, is_chunked: bool) -> String {
    let event = format!("id: {id}\ndata: {date}\n\n");
    if is_chunked { format!("{:x}\r\n{event}\r\n", event.len()) } else { event }
}
