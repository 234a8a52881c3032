//! From a redirect to the request that follows it.
//!
//! Invariants: on another origin than the first, nothing that the config has added (credentials, most likely) and no
//! signature is sent, and not on the way back either; nothing goes from https to http; the address of every hop is checked
//! like the first one, by whoever sends it.

use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Method, StatusCode};
use url::Url;

use super::shown;

/// Where a redirect leads, and how.
#[derive(Debug, PartialEq)]
pub(super) struct Hop {
    pub(super) method: Method,
    pub(super) url: Url,
    /// Whether the body is sent again.
    pub(super) keeps_body: bool,
    /// Whether it leads to the same scheme, host and port.
    pub(super) same_origin: bool,
}

/// The next request; `None` if the answer is no redirect. The error is why it cannot be followed.
pub(super) fn next(
    status: StatusCode,
    headers: &HeaderMap,
    from: &Url,
    method: &Method,
) -> Result<Option<Hop>, String> {
    let Some(location) = headers.get(LOCATION).filter(|_| is_redirect(status)) else { return Ok(None) };
    let location = location.to_str().map_err(|_| "the redirect leads to something that is no URL".to_owned())?;
    let url =
        from.join(location).map_err(|error| format!("the redirect leads to something that is no URL: {error}"))?;
    if from.scheme() == "https" && url.scheme() != "https" {
        return Err(format!("the redirect to {} leaves https", shown(&url)));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("the redirect to {} carries credentials", shown(&url)));
    }
    let same_origin = url.origin() == from.origin();
    let (method, keeps_body) = next_method(status, method);
    Ok(Some(Hop { method, url, keeps_body, same_origin }))
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// As browsers have it (the Fetch standard): 303 asks with GET, 301 and 302 do so instead of POST, and the others repeat
/// the request.
fn next_method(status: StatusCode, method: &Method) -> (Method, bool) {
    match status.as_u16() {
        303 if !matches!(*method, Method::GET | Method::HEAD) => (Method::GET, false),
        301 | 302 if *method == Method::POST => (Method::GET, false),
        _ => (method.clone(), true),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn hop(status: u16, location: &str, from: &str, method: &Method) -> Result<Option<Hop>, String> {
        let headers = [(LOCATION, location.parse().unwrap())].into_iter().collect();
        next(StatusCode::from_u16(status).unwrap(), &headers, &Url::parse(from).unwrap(), method)
    }

    #[test]
    fn methods_change_as_they_do_in_browsers() {
        for (status, method, then) in [
            (301, Method::POST, Some((Method::GET, false))),
            (302, Method::POST, Some((Method::GET, false))),
            (301, Method::PUT, Some((Method::PUT, true))),
            (302, Method::GET, Some((Method::GET, true))),
            (303, Method::PUT, Some((Method::GET, false))),
            (303, Method::HEAD, Some((Method::HEAD, true))),
            (307, Method::POST, Some((Method::POST, true))),
            (308, Method::PATCH, Some((Method::PATCH, true))),
            (200, Method::POST, None),
            (300, Method::POST, None),
            (304, Method::GET, None),
        ] {
            let hop = hop(status, "/b", "http://h/a?x=1", &method).unwrap();
            assert_eq!(hop.map(|hop| (hop.method, hop.keeps_body)), then, "{status} {method}");
        }
    }

    #[test]
    fn another_scheme_host_or_port_is_another_origin() {
        for (location, url, same) in [
            ("/b?y=2", "http://h:80/b?y=2", true),
            ("c", "http://h/a/c", true),
            ("HTTP://H:80/b", "http://h/b", true),
            ("//other/b", "http://other/b", false),
            ("http://h:81/b", "http://h:81/b", false),
            ("https://h/b", "https://h/b", false),
            ("http://h.evil/b", "http://h.evil/b", false),
        ] {
            let hop = hop(302, location, "http://h/a/b", &Method::GET).unwrap().unwrap();
            assert_eq!((hop.url, hop.same_origin), (Url::parse(url).unwrap(), same), "{location}");
        }
    }

    #[test]
    fn what_cannot_be_followed_says_why() {
        for (location, why) in [
            ("http://h/b", "leaves https"),
            ("ftp://h/b", "leaves https"),
            ("https://user:hush@h/b", "carries credentials"),
            ("https://user@h/b", "carries credentials"),
            ("https://[fe80::1%25eth0]/", "no URL"),
            ("https://", "no URL"),
        ] {
            let error = hop(302, location, "https://h/a", &Method::GET).unwrap_err();
            assert!(error.contains(why) && !error.contains("hush"), "{location}: {error}");
        }
    }
}
