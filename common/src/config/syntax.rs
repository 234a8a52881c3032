//! Words for broken YAML: what the parser met, and the slip that usually is behind it.

use granit_parser::{ErrorKind, ScanError};

use super::node::{Node, Value};
use super::report::Report;
use super::source::{Source, Span};

/// Where the parser stopped, as a byte of the text.
pub(super) fn position(error: &ScanError, source: &Source<'_>) -> usize {
    source.boundary(error.marker().byte_offset().unwrap_or(source.text.len()))
}

/// Reports the error that ended the reading. `unread` runs from what was understood to where the parser stopped;
/// `alias` is an alias of nothing on the same line: then most likely an unquoted value starts there.
pub(super) fn report_broken(report: &mut Report<'_>, error: &ScanError, unread: Span, alias: Option<Span>) {
    let source = report.source;
    let (_, line) = source.line_at(unread.end);
    // Within a line break is behind the line.
    let at = unread.end.min(line.end);
    let start = alias.as_ref().map_or(at, |span| span.start);
    if let Some((span, message, help)) = unquoted(source.text, &line, start, error.kind()) {
        report.error(&span, message, Some(help));
        return;
    }
    let (message, help) = words(error);
    let open_quote = matches!(error.kind(), ErrorKind::UnclosedQuotedScalar | ErrorKind::InvalidQuotedScalarIndent)
        .then(|| source.slice(&unread).find(['"', '\'']))
        .flatten();
    let start = open_quote.map_or(at, |offset| unread.start + offset);
    let width = source.text[start..].chars().next().map_or(0, char::len_utf8);
    report.error(&(start..start + width), message, help);
}

/// Reports an alias that repeats nothing, where the YAML is otherwise sound.
pub(super) fn report_unknown_alias(report: &mut Report<'_>, span: &Span) {
    let name = report.source.slice(span);
    let help =
        format!("an alias repeats what an anchor (`&…`) before it marks; for text put it in quotes: `\"{name}\"`");
    report.error(span, format!("`{name}` is a YAML alias of an anchor that does not exist"), Some(help));
}

/// Reports a key that is no text. `outer` runs from the start of its map to the end of the key. Tells whether the
/// map is really a template without quotes.
pub(super) fn report_bad_key(report: &mut Report<'_>, key: &Node<'_>, outer: &Span) -> bool {
    let text = report.source.text;
    let (_, line) = report.source.line_at(outer.start);
    if text[outer.start..].starts_with("{{")
        && let Some((span, message, help)) = unquoted_template(text, &line, outer.start)
    {
        report.error(&span, message, Some(help));
        return true;
    }
    let kind = match key.value {
        Value::Null => "an empty key",
        Value::List(_) => "a list as a key",
        _ => "a map as a key",
    };
    report.error(&key.span, format!("{kind} means nothing here"), Some("keys are text".to_owned()));
    false
}

type Finding = (Span, String, String);

/// The most frequent slip: a value that must be quoted and is not.
fn unquoted(text: &str, line: &Span, start: usize, kind: &ErrorKind) -> Option<Finding> {
    let first = text[start..line.end].chars().next();
    let what = match (kind, first) {
        (_, Some('*')) => "an alias",
        (ErrorKind::MissingAnchorOrAliasName, Some('&')) => "an anchor",
        (ErrorKind::UnexpectedCharacter { .. }, Some(c @ ('@' | '`' | '%'))) => {
            return Some(quote(text, line, start, format!("text that starts with `{c}` must be in quotes")));
        }
        (ErrorKind::MissingAnchorOrAliasName, _) => "an alias",
        (ErrorKind::ExpectedFlowMappingSeparator | ErrorKind::ExpectedFlowSequenceSeparator, _)
            if text[line.start..start].ends_with('$') && first == Some('{') =>
        {
            return Some(unquoted_variable(text, line, start));
        }
        _ => return unquoted_template(text, line, line.start),
    };
    // The parser stops behind the sign or at it, depending on what follows.
    let sign =
        if matches!(first, Some('*' | '&')) { start } else { text[line.start..start].rfind(['*', '&'])? + line.start };
    let sign_text = &text[sign..=sign];
    Some(quote(
        text,
        line,
        sign,
        format!("text that starts with `{sign_text}` must be in quotes: YAML reads it as {what}"),
    ))
}

/// `{{ tenant.id }}` without quotes is a YAML map in a map.
fn unquoted_template(text: &str, line: &Span, from: usize) -> Option<Finding> {
    let start = from + text[from..line.end].find("{{")?;
    let before = text[line.start..start].trim_end();
    // Behind a quote or within other text it is no map, and so not the reason.
    if !(before.is_empty() || before.ends_with([':', '-', '[', ',', '{'])) {
        return None;
    }
    let message = "text that starts with `{{` must be in quotes: YAML reads it as a map".to_owned();
    Some(quote(text, line, start, message))
}

/// `${NAME}` in brackets: the brace ends the text before it.
fn unquoted_variable(text: &str, line: &Span, brace: usize) -> Finding {
    let before = &text[line.start..brace];
    let start = before.rfind([',', '[', ':']).map_or(line.start, |at| line.start + at + 1);
    let start = start + (text[start..].len() - text[start..].trim_start().len());
    quote(text, line, start, "text with `${` must be in quotes inside of brackets".to_owned())
}

/// Advice to quote what runs from `start` to the end of the value.
fn quote(text: &str, line: &Span, start: usize, message: String) -> Finding {
    let in_flow = text[line.start..start].contains(['[', '{']);
    let rest = &text[start..line.end];
    let rest = rest.split(" #").next().unwrap_or(rest);
    let end = if in_flow { flow_end(rest) } else { rest.len() };
    let value = rest[..end].trim_end();
    let quoted =
        if value.contains(['"', '\\']) { format!("'{}'", value.replace('\'', "''")) } else { format!("\"{value}\"") };
    (start..start + value.len(), message, format!("write {quoted}"))
}

/// Where a value within brackets ends: at a comma or bracket outside of `{{ … }}` and `${…}`.
fn flow_end(rest: &str) -> usize {
    let mut at = 0;
    while at < rest.len() {
        let pairs = [("{{", "}}"), ("${", "}")];
        if let Some((_, close)) = pairs.into_iter().find(|(open, _)| rest[at..].starts_with(open)) {
            at = rest[at..].find(close).map_or(rest.len(), |length| at + length + close.len());
            continue;
        }
        match rest[at..].chars().next() {
            Some(',' | ']' | '}') | None => return at,
            Some(c) => at += c.len_utf8(),
        }
    }
    rest.len()
}

/// One sentence for each kind of syntax error that people meet, the parser's own for the rest.
fn words(error: &ScanError) -> (String, Option<String>) {
    let (message, help) = match error.kind() {
        ErrorKind::TabNotAllowed | ErrorKind::TabInBlockIndentation | ErrorKind::TabInIndentation => {
            ("a tab stands where YAML allows only spaces", "indent with spaces")
        }
        ErrorKind::MappingValueNotAllowed => (
            "a `:` stands where no key can be",
            "a value with `: ` in it must be in quotes; keys of one map have the same indentation",
        ),
        ErrorKind::ExpectedBlockMappingKey | ErrorKind::ExpectedBlockSequenceEntry | ErrorKind::InvalidIndentation => (
            "the indentation does not fit what stands above",
            "keys of one map, and dashes of one list, stand in the same column",
        ),
        ErrorKind::UnclosedQuotedScalar | ErrorKind::InvalidQuotedScalarIndent => {
            ("the quoted text that starts here has no closing quote", "close it with the quote that opened it")
        }
        ErrorKind::UnclosedFlowCollection { open } => {
            return (format!("the `{open}` has no closing bracket"), None);
        }
        ErrorKind::UnexpectedEofFlowSequence | ErrorKind::ExpectedFlowSequenceSeparator => {
            ("a `,` or `]` is missing here", "a list is written `[a, b]`")
        }
        ErrorKind::UnexpectedEofFlowMapping | ErrorKind::ExpectedFlowMappingSeparator => {
            ("a `,` or `}` is missing here", "a map is written `{key: value, key: value}`")
        }
        ErrorKind::InvalidColonPlacement => {
            ("a `:` stands where no key can be", "is a bracket or a quote above not closed?")
        }
        ErrorKind::UnknownQuotedScalarEscape => {
            ("`\\` and this character are no escape", "in single quotes a backslash is an ordinary character")
        }
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            return (format!("the `{open}` that starts here is closed by `{close}`"), None);
        }
        ErrorKind::UnexpectedCharacter { character } => {
            return (format!("the character `{character}` cannot stand here"), None);
        }
        ErrorKind::RecursionLimitExceeded => return ("values are nested too deeply".to_owned(), None),
        kind => return (format!("this is not valid YAML: {kind}"), None),
    };
    (message.to_owned(), Some(help.to_owned()))
}
