//! The URL of an `http` handler: what it must look like so that no tenant's value decides where a request goes.
//!
//! Scheme, credentials, host and port are written out; templates stand in the path, the query or the fragment, where
//! their values are percent-encoded. Credentials are refused: a URL is shown wherever its job is.

use std::ops::Range;

use super::templates::without_variables;
use crate::template::{Template, has_dot_segment};

/// What is wrong: where in the text, what, and what would be right.
pub(super) type Fault = (Range<usize>, String, String);

/// Checks a text that parsed as this template.
pub(super) fn check(template: &Template) -> Result<(), Fault> {
    let text = template.as_str();
    let authority = authority(text)?;
    if let Some((variable, part)) = template.spans().find(|(_, part)| part.start < authority.end) {
        let help = "write scheme, host and port out, and use templates in the path or the query".to_owned();
        return Err((part, format!("`{variable}` stands before the path of the URL"), help));
    }
    if let Some(at) = text[authority.clone()].find('@') {
        let part = authority.start..authority.start + at + 1;
        let help = "send them in a header, such as `authorization`".to_owned();
        return Err((part, "the URL carries credentials, which are shown wherever it is".to_owned(), help));
    }
    let literal = without_variables(template);
    if let Some(found) = literal.chars().find(|c| c.is_whitespace() || c.is_control()) {
        let at = text.find(found).unwrap_or(0);
        let help = "percent-encode it: a space is `%20`".to_owned();
        return Err((at..at + found.len_utf8(), "a URL has no spaces or control characters".to_owned(), help));
    }
    if let Some(at) = bare_percent(text) {
        let help = "a literal `%` is written `%25`".to_owned();
        return Err((at..at + 1, "a `%` in a URL starts two hexadecimal digits".to_owned(), help));
    }
    if let Err(error) = url::Url::parse(&literal) {
        return Err((0..text.len(), format!("this is not a URL: {error}"), EXAMPLE.to_owned()));
    }
    if has_dot_segment(&literal) {
        let help = "write the path that is meant".to_owned();
        return Err((0..text.len(), "the path of the URL has a `.` or `..` segment".to_owned(), help));
    }
    Ok(())
}

const EXAMPLE: &str = "write it as in `https://example.com/hook/{{ tenant.id }}`";

/// Where host and port stand, credentials included.
fn authority(text: &str) -> Result<Range<usize>, Fault> {
    let scheme = text.find(':').unwrap_or(0);
    let known = matches!(text[..scheme].to_ascii_lowercase().as_str(), "http" | "https");
    if !known {
        let help = match text.starts_with("{{") {
            true => "write scheme, host and port out, and use templates in the path or the query",
            false => EXAMPLE,
        };
        let end = if scheme > 0 && text[scheme..].starts_with("://") { scheme } else { text.len() };
        return Err((0..end, "the URL must start with `http://` or `https://`".to_owned(), help.to_owned()));
    }
    let start = scheme + 3;
    if !text[scheme..].starts_with("://") {
        return Err((0..text.len(), "the URL must start with `http://` or `https://`".to_owned(), EXAMPLE.to_owned()));
    }
    let length = text[start..].find(['/', '?', '#', '\\']).unwrap_or(text.len() - start);
    if length == 0 {
        return Err((0..text.len(), "the URL has no host".to_owned(), EXAMPLE.to_owned()));
    }
    Ok(start..start + length)
}

/// A `%` without its two digits; a value behind it could complete it to any character.
fn bare_percent(text: &str) -> Option<usize> {
    let digits =
        |at: usize| text.as_bytes().get(at + 1..at + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
    text.match_indices('%').map(|(at, _)| at).find(|at| !digits(*at))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn fault(text: &str) -> Option<(String, Range<usize>)> {
        check(&Template::parse(text).unwrap()).err().map(|(span, message, _)| (message, span))
    }

    #[test]
    fn accepts_what_a_request_can_be_sent_to() {
        for text in [
            "http://127.0.0.1:9000/sync/{{ tenant.id }}",
            "https://example.com",
            "https://example.com?tenant={{ tenant.id }}",
            "HTTPS://example.com/a.b/..c/{{ tenant.plan }}.json?x=../y#z",
            "http://[::1]:8080/{{ tenant.id }}",
            "https://bücher.example/%20",
        ] {
            assert_eq!(fault(text), None, "{text}");
        }
    }

    #[test]
    fn refuses_templates_before_the_path() {
        for (text, span) in [
            ("http://{{ tenant.id }}/x", 7..22),
            ("http://{{ tenant.id }}.example.com/x", 7..22),
            ("http://example.com:{{ tenant.id }}/x", 19..34),
            ("http://example.com{{ tenant.id }}", 18..33),
            ("http://{{ tenant.id }}@example.com/x", 7..22),
        ] {
            assert_eq!(fault(text), Some(("`tenant.id` stands before the path of the URL".to_owned(), span)), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_url_of_a_web_server() {
        for (text, message) in [
            ("ftp://example.com", "the URL must start with `http://` or `https://`"),
            ("example.com/x", "the URL must start with `http://` or `https://`"),
            ("{{ tenant.id }}", "the URL must start with `http://` or `https://`"),
            ("http:/example.com", "the URL must start with `http://` or `https://`"),
            ("file:///etc/passwd", "the URL must start with `http://` or `https://`"),
            ("", "the URL must start with `http://` or `https://`"),
            ("http:///x", "the URL has no host"),
            ("http://user:pw@example.com/", "the URL carries credentials, which are shown wherever it is"),
            ("http://example.com/a b", "a URL has no spaces or control characters"),
            ("http://example.com:99999/", "this is not a URL: invalid port number"),
            ("http://exa mple.com/", "a URL has no spaces or control characters"),
            ("http://[::1/", "this is not a URL: invalid IPv6 address"),
            ("http://example.com/100%", "a `%` in a URL starts two hexadecimal digits"),
            ("http://example.com/%2{{ tenant.id }}", "a `%` in a URL starts two hexadecimal digits"),
            ("http://example.com/a/../b", "the path of the URL has a `.` or `..` segment"),
            ("http://example.com/%2E%2e/b", "the path of the URL has a `.` or `..` segment"),
            ("http://example.com\\..\\b", "the path of the URL has a `.` or `..` segment"),
        ] {
            assert_eq!(fault(text).map(|(message, _)| message).as_deref(), Some(message), "{text}");
        }
    }
}
