//! MCP over stdin and stdout: one message a line. Stdout carries nothing else.
//!
//! Reading and writing have a thread each: a pending read of stdin cannot be cancelled, and must not
//! keep the process alive.

use super::VenomServer;
use super::messages::{
    ChannelTransport, MESSAGE_BYTES_MAX, MESSAGES_WAITING_MAX, Parsed, parse, too_long,
};
use crate::failure::Failure;
use rmcp::model::{ClientJsonRpcMessage, ServerJsonRpcMessage};
use rmcp::service::serve_directly_with_ct;
use std::io::{self, BufRead, Read, Write};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How long the end of a connection may take once nothing more is to be answered, and how long its
/// last lines may take to be read.
const END_TIME_MAX: Duration = Duration::from_millis(750);

/// Serves stdin and stdout until stdin ends or `stop` is cancelled; what is under way is answered.
///
/// # Errors
/// [`Failure`] if the threads cannot be started.
pub(crate) async fn serve(server: VenomServer, stop: CancellationToken) -> Result<(), Failure> {
    let (incoming, messages) = mpsc::channel(MESSAGES_WAITING_MAX);
    let (outgoing, answers) = mpsc::channel(MESSAGES_WAITING_MAX);
    // The reader may wait for a line for ever; it must not keep the channel to the writer open.
    let errors = outgoing.downgrade();
    let no_thread = |e: io::Error| Failure::not_ready(format!("a thread cannot be started: {e}"));
    std::thread::Builder::new()
        .name("venom-stdin".to_owned())
        .spawn(move || read(io::stdin().lock(), &incoming, &errors))
        .map_err(no_thread)?;
    let writer = std::thread::Builder::new()
        .name("venom-stdout".to_owned())
        .spawn(move || write(io::stdout().lock(), answers))
        .map_err(no_thread)?;

    let transport = ChannelTransport::new(messages, outgoing, stop);
    let ended = transport.ended();
    let running = serve_directly_with_ct(server, transport, None, CancellationToken::new());
    // The SDK waits on its own for calls that the transport has given up already.
    let cut_off = async {
        ended.cancelled().await;
        tokio::time::sleep(END_TIME_MAX).await;
    };
    tokio::select! {
        outcome = running.waiting() => {
            if let Err(error) = outcome {
                tracing::error!("the connection ended badly: {error}");
            }
        }
        () = cut_off => {}
    }
    let written = tokio::task::spawn_blocking(move || writer.join());
    let _ = tokio::time::timeout(END_TIME_MAX, written).await;
    Ok(())
}

/// Reads lines until the end of input or until nobody takes them any more.
fn read(
    mut input: impl BufRead,
    incoming: &mpsc::Sender<ClientJsonRpcMessage>,
    errors: &mpsc::WeakSender<ServerJsonRpcMessage>,
) {
    let mut line = Vec::new();
    loop {
        line.clear();
        let parsed = match read_line(&mut input, &mut line) {
            Ok(LineRead::End) => return,
            Ok(LineRead::TooLong) => Err(too_long()),
            Ok(LineRead::Line) if line.trim_ascii().is_empty() => continue,
            Ok(LineRead::Line) => parse(&line),
            Err(error) => {
                tracing::error!("stdin cannot be read: {error}");
                return;
            }
        };
        let messages = match parsed {
            Ok(Parsed::Single(message)) => vec![Ok(*message)],
            Ok(Parsed::Batch(messages)) => messages,
            Err(error) => vec![Err(error)],
        };
        for message in messages {
            let taken = match message {
                Ok(message) => incoming.blocking_send(message).is_ok(),
                Err(error) => errors
                    .upgrade()
                    .is_some_and(|errors| errors.blocking_send(*error).is_ok()),
            };
            if !taken {
                return;
            }
        }
    }
}

/// What one read brought.
#[derive(Debug, PartialEq, Eq)]
enum LineRead {
    /// A line; the last one may lack its line feed.
    Line,
    /// A line longer than a message may be. It was skipped.
    TooLong,
    /// Nothing more.
    End,
}

fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<LineRead> {
    let bytes_max = u64::try_from(MESSAGE_BYTES_MAX).unwrap_or(u64::MAX);
    if input.take(bytes_max).read_until(b'\n', line)? == 0 {
        return Ok(LineRead::End);
    }
    if line.ends_with(b"\n") || line.len() < MESSAGE_BYTES_MAX {
        return Ok(LineRead::Line);
    }
    input.skip_until(b'\n')?;
    Ok(LineRead::TooLong)
}

/// Writes messages, one a line, until every sender is gone or the reader of stdout is.
fn write(mut output: impl Write, mut answers: mpsc::Receiver<ServerJsonRpcMessage>) {
    while let Some(message) = answers.blocking_recv() {
        let mut line = match serde_json::to_vec(&message) {
            Ok(line) => line,
            Err(error) => {
                tracing::error!("an answer cannot be written as JSON: {error}");
                continue;
            }
        };
        line.push(b'\n');
        if output
            .write_all(&line)
            .and_then(|()| output.flush())
            .is_err()
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use venom_fuzz::Target;

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_the_next_one_read() {
        let long = [&vec![b'x'; MESSAGE_BYTES_MAX + 5][..], b"\nnext\nlast"].concat();
        let mut input = io::Cursor::new(long);
        let mut line = Vec::new();
        assert_eq!(read_line(&mut input, &mut line).unwrap(), LineRead::TooLong);
        line.clear();
        assert_eq!(read_line(&mut input, &mut line).unwrap(), LineRead::Line);
        assert_eq!(line, b"next\n");
        line.clear();
        assert_eq!(read_line(&mut input, &mut line).unwrap(), LineRead::Line);
        assert_eq!(line, b"last");
        assert_eq!(read_line(&mut input, &mut line).unwrap(), LineRead::End);
    }

    #[test]
    fn fuzz_stdio_lines() {
        let words = [
            "\n",
            "\r\n",
            "[",
            "]",
            ",",
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}",
            " ",
            "{}",
        ];
        Target::new("stdio-lines").words(&words).run(|bytes| {
            let (incoming, mut messages) = mpsc::channel(bytes.len() + 1);
            let (outgoing, mut answers) = mpsc::channel(bytes.len() + 1);
            read(io::Cursor::new(bytes), &incoming, &outgoing.downgrade());
            drop((incoming, outgoing));
            let (mut taken, mut refused) = (0_usize, 0_usize);
            while messages.blocking_recv().is_some() {
                taken += 1;
            }
            while let Some(answer) = answers.blocking_recv() {
                let line = serde_json::to_string(&answer).unwrap();
                assert!(!line.contains('\n'));
                refused += 1;
            }
            let lines = bytes.split(|byte| *byte == b'\n');
            let lines = lines.filter(|line| !line.trim_ascii().is_empty()).count();
            assert!(
                taken + refused >= lines,
                "every line is a message or is answered"
            );
            (taken.min(5), refused.min(5))
        });
    }
}
