//! `loadtest simulate`: a provider in the foreground; its books are printed at the end.

use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::sync::mpsc::{Sender, channel};
use tollgate_loadtest::{Script, Simulator};

/// Runs until a signal or the end of stdin.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let Some(Options { addr, script }) = Options::read(arguments)? else {
        println!("{HELP}");
        return Ok(());
    };
    let simulator = Simulator::start_on(addr, script).map_err(|why| format!("{addr}: {why}"))?;
    let (ended, end) = channel();
    watch_signals(ended.clone())?;
    watch_stdin(ended);
    say(&format!("simulating OpenAI, Anthropic and Gemini on http://{}\n", simulator.addr()));
    // When both watchers have gone there is nothing left to wait for either.
    let _ = end.recv();
    say(&simulator.stop().to_string());
    Ok(())
}

struct Options {
    addr: SocketAddr,
    script: Script,
}

impl Options {
    /// Reads `--name value` and `--name=value`; `None` asks for help.
    fn read(arguments: &[String]) -> Result<Option<Options>, String> {
        let mut port = 18_081;
        // Remembering requests costs a copy of each, and nobody can ask for them here.
        let mut script = Script { record: false, ..Script::default() };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let name = match argument.strip_prefix("--") {
                Some("help") => return Ok(None),
                Some(name) => name,
                None => return Err(format!("{argument:?} is not a setting; see --help")),
            };
            let (name, value) = match name.split_once('=') {
                Some((name, value)) => (name, value),
                None => (name, rest.next().ok_or(format!("--{name} needs a value"))?.as_str()),
            };
            match name {
                "port" => port = value.parse().map_err(|_| format!("{value:?} is not a port"))?,
                _ => script.set(name, value).map_err(|why| format!("--{why}; see --help"))?,
            }
        }
        Ok(Some(Options { addr: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), script }))
    }
}

fn watch_signals(ended: Sender<()>) -> Result<(), String> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let mut signals =
        signal_hook::iterator::Signals::new([SIGINT, SIGTERM]).map_err(|why| why.to_string())?;
    std::thread::spawn(move || {
        signals.forever().next();
        let _ = ended.send(());
    });
    Ok(())
}

/// The end of stdin is the end of whoever started this. `/dev/null` and a terminal say nothing about that.
fn watch_stdin(ended: Sender<()>) {
    if std::io::stdin().is_terminal() || is_device() {
        std::mem::forget(ended);
        return;
    }
    std::thread::spawn(move || {
        let mut ignored = [0; 4096];
        while matches!(std::io::stdin().read(&mut ignored), Ok(count) if count > 0) {}
        let _ = ended.send(());
    });
}

fn is_device() -> bool {
    let stdin = std::io::stdin().as_fd().try_clone_to_owned().map(File::from);
    stdin.and_then(|file| file.metadata()).is_ok_and(|data| data.file_type().is_char_device())
}

/// Prints, also when nobody reads any more.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

const HELP: &str = "\
loadtest simulate: an LLM provider on loopback, answering as told, keeping its own books

  --port N                  listen on 127.0.0.1:N (18081; 0 takes a free port)

Settings. Each may be overridden for one request by a header `x-sim-NAME: VALUE`.

  --input-tokens N|body     all input tokens; `body` is the body's bytes / 4 (body)
  --output-tokens N         output tokens, unless the request allows fewer (16)
  --cached-input-tokens N   part of the input read from the cache (0)
  --cache-write-tokens N    part of the input written to the cache (0)
  --reasoning-tokens N      part of the output (0)
  --reply TEXT              answer this (a text made of model, request number and a hash of the question)
  --chunks N                content events in a stream (4)
  --chunk-bytes N           bytes of text in each after the first (6)
  --tool-call NAME          call this function instead of answering with text
  --thinking BOOL           think aloud first (false)
  --latency TIME            before the first byte of an answer: 150us, 20ms, 1s (0ms)
  --chunk-gap TIME          between two events of a stream (0ms)
  --framing HOW             auto, length, chunked or close (auto)
  --fault WHAT              none (default)
                            status:429  html:502  garbage  early  interim:103
                            no-answer[:rst]  cut-in-head[:rst]  cut-after:EVENTS[:rst]  truncate[:rst]
                            stall  stall-after:EVENTS  slow:BYTES:TIME  stream-error:EVENTS
                            no-usage  usage-every  usage-empty-delta  close  close-unannounced
  --fault-every N           only every N-th request has the fault (1)
  --fault-times N           only N requests have it (no end)
  --retry-after N|none      seconds, sent with status faults 429, 503, 529 (1)
  --idle-timeout TIME|none  close connections idle so long (none)
  --expected-key KEY|none   answer any other key with 401 (none)
  --strict BOOL             refuse fields and roles that the real provider refuses (true)
  --body-limit BYTES        answer longer bodies with 413 (67108864)

Paths: POST /v1/chat/completions, POST /v1/messages, POST /v1/messages/count_tokens,
       GET /plain?bytes=N, POST /plain, POST /echo";
