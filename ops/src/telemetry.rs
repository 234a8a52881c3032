//! Logs.
//!
//! They go to stderr, since data goes to stdout. Colour only on a terminal, and not under `NO_COLOR`.
//!
//! tracing-subscriber escapes some control characters in messages and lets others pass (line breaks, carriage returns,
//! marks that reorder text), and its JSON lets DEL and the C1 controls pass. Both formats are therefore closed here:
//! text by a field formatter that escapes every value, JSON by a writer that escapes what JSON need not.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal};

use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::{MakeExt, RecordFields};
use tracing_subscriber::fmt::format::{self, FormatFields, Writer};
use tracing_subscriber::fmt::{MakeWriter, SubscriberBuilder};

use crate::args::{LogArgs, LogFormat};
use crate::text::{Escaping, is_active};

/// Libraries whose everyday events drown ours. A filter that names one of them wins.
const QUIET: &str = "sqlx=warn,hyper=warn,hyper_util=warn,reqwest=warn,rustls=warn,redis=warn,h2=warn";

/// Starts logging. Does nothing if this process logs already.
pub fn init(args: &LogArgs) {
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let builder = SubscriberBuilder::default()
        .with_env_filter(filter(&args.log))
        // It would say so on standard error, and panic where nobody reads that any longer.
        .log_internal_errors(false);
    // An error says that there is a subscriber: a test's, or an embedding program's. Theirs wins.
    let _ = match args.log_format {
        LogFormat::Text => {
            let builder = builder.fmt_fields(fields()).with_ansi(colour).with_writer(io::stderr);
            tracing::subscriber::set_global_default(builder.finish())
        }
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_writer(JsonTo(io::stderr));
            tracing::subscriber::set_global_default(builder.finish())
        }
    };
}

fn filter(directives: &str) -> EnvFilter {
    // The text was checked when the flag was parsed; a filter that slipped through means the default.
    EnvFilter::try_new(format!("{QUIET},{directives}")).unwrap_or_else(|_| EnvFilter::new("info"))
}

/// Writes `message key=value …` with every value escaped.
fn fields() -> impl for<'w> FormatFields<'w> + 'static {
    Fields
}

struct Fields;

impl<'w> FormatFields<'w> for Fields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        format::debug_fn(write_field).delimited(" ").format_fields(writer, fields)
    }
}

fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    if field.name() != "message" {
        if writer.has_ansi_escapes() {
            write!(writer, "\x1b[2m{}=\x1b[0m", field.name())?;
        } else {
            write!(writer, "{}=", field.name())?;
        }
    }
    write!(Escaping { inner: writer }, "{value:?}")
}

/// Makes writers that escape within JSON what a terminal might obey.
struct JsonTo<M>(M);

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for JsonTo<M> {
    type Writer = JsonWriter<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        JsonWriter(self.0.make_writer())
    }
}

struct JsonWriter<W>(W);

impl<W: io::Write> io::Write for JsonWriter<W> {
    /// The formatter hands over one whole line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write_all(escape_json(&String::from_utf8_lossy(line)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Such characters stand only within strings of a JSON text, where `\uXXXX` means the same. The line break at the end
/// is the only one: JSON escapes the others itself.
fn escape_json(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for c in line.chars() {
        if c != '\n' && is_active(c) {
            // Every active character is below U+10000: one unit, four digits.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Memory {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    const HOSTILE: &str = "a\u{1b}[2Jb\r\nforged\u{9b}31m\u{202e}\u{7f}\0";

    fn log_hostile_text() {
        let error = io::Error::other(HOSTILE);
        let span = tracing::info_span!("run", job.name = %HOSTILE);
        let _entered = span.enter();
        tracing::info!(%error, by_value = HOSTILE, dynamic = &error as &dyn std::error::Error, "message {HOSTILE}");
    }

    #[test]
    fn hostile_text_cannot_leave_its_line_of_text() {
        let memory = Memory::default();
        let writer = memory.clone();
        let builder = SubscriberBuilder::default().fmt_fields(fields()).with_ansi(false);
        let subscriber = builder.with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, log_hostile_text);
        let text = memory.text();
        assert_eq!(text.chars().filter(|c| is_active(*c)).collect::<String>(), "\n", "{text:?}");
        assert_eq!(text.matches("forged").count(), 5, "{text:?}");
    }

    #[test]
    fn hostile_text_cannot_leave_its_line_of_json_and_reads_back_unchanged() {
        let memory = Memory::default();
        let writer = memory.clone();
        let builder = SubscriberBuilder::default().json().flatten_event(true);
        let subscriber = builder.with_writer(JsonTo(move || writer.clone())).finish();
        tracing::subscriber::with_default(subscriber, log_hostile_text);
        let text = memory.text();
        assert_eq!(text.chars().filter(|c| is_active(*c)).collect::<String>(), "\n", "{text:?}");
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["by_value"], HOSTILE);
        assert_eq!(json["message"], format!("message {HOSTILE}"));
    }

    #[test]
    fn a_filter_that_names_a_quiet_library_wins() {
        assert!(filter("info").to_string().contains("sqlx=warn"));
        let loud = filter("info,sqlx=debug").to_string();
        assert!(loud.contains("sqlx=debug") && !loud.contains("sqlx=warn"), "{loud}");
    }
}
