//! Tenants from an HTTP endpoint: a JSON list, or a map with the list in `tenants` and the address of the next page in
//! `next`.
//!
//! Invariants: the bearer token goes to the origin of the configured URL and nowhere else, so redirects and proxies are
//! not followed and a next page is on the same origin; an answer has a limit of its size. No message holds the token,
//! or the query of a URL.

use std::collections::HashSet;
use std::fmt;

use reqwest::header::{ETAG, HeaderValue, IF_NONE_MATCH};
use reqwest::{Response, StatusCode};
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use url::Url;

use super::answer::Answer;
use super::source::{Asked, MAX_BYTES, SourceError};
use crate::outbound::{self, Client, chain, shown};

/// A roster has no more pages.
const MAX_PAGES: usize = 10_000;

/// Asks for all pages. `etag` is that of the last answer, if it was one page.
pub(super) async fn ask(
    client: &Client,
    source: &str,
    url: &str,
    bearer: Option<&str>,
    etag: Option<&str>,
) -> Result<Asked, SourceError> {
    let client = client.0.as_ref().map_err(SourceError::new)?;
    let start = Url::parse(url).map_err(|error| SourceError::new(format!("the URL is wrong: {error}")))?;
    let mut answer = Answer::default();
    let (mut next, mut seen, mut left) = (start.clone(), HashSet::new(), MAX_BYTES);
    loop {
        let shown = shown(&next);
        let failed = |what: String| SourceError::new(format!("GET {shown}: {what}"));
        let response = send(client, &next, bearer, etag.filter(|_| seen.is_empty())).await.map_err(&failed)?;
        if response.status() == StatusCode::NOT_MODIFIED && etag.is_some() && seen.is_empty() {
            return Ok(Asked::Unchanged);
        }
        let tag = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let body = read(response, &mut left).await.map_err(&failed)?;
        let more = parse(&body, source, &mut answer).map_err(|error| failed(error.to_string()))?;
        let one_page = seen.is_empty();
        seen.insert(next.clone());
        let Some(more) = more else { return Ok(Asked::Answer(answer, tag.filter(|_| one_page))) };
        next = following(&start, &next, &more).map_err(failed)?;
        if seen.contains(&next) || seen.len() >= MAX_PAGES {
            return Err(SourceError::new(format!("GET {shown}: its next page was there before, or there is no end")));
        }
    }
}

async fn send(
    client: &reqwest::Client,
    url: &Url,
    bearer: Option<&str>,
    etag: Option<&str>,
) -> Result<Response, String> {
    let mut request = client.get(url.clone()).header("accept", "application/json");
    if let Some(bearer) = bearer {
        request = request.header("authorization", outbound::bearer(bearer)?);
    }
    if let Some(etag) = etag.and_then(|etag| HeaderValue::from_str(etag).ok()) {
        request = request.header(IF_NONE_MATCH, etag);
    }
    request.send().await.map_err(|error| chain(&error.without_url()))
}

/// The body of a good answer.
async fn read(mut response: Response, left: &mut usize) -> Result<Vec<u8>, String> {
    let status = response.status();
    if status.is_redirection() {
        return Err(format!("answered {status}; redirects are not followed"));
    }
    if status != StatusCode::OK {
        return Err(format!("answered {status}; 200 OK with a JSON list is expected"));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| chain(&error.without_url()))? {
        *left = left
            .checked_sub(chunk.len())
            .ok_or_else(|| format!("the answer is larger than {} MiB", MAX_BYTES >> 20))?;
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The address of the next page, which may be relative.
fn following(start: &Url, current: &Url, next: &str) -> Result<Url, String> {
    let url = current.join(next).map_err(|error| format!("`next` is no URL: {error}"))?;
    if url.origin() != start.origin() {
        return Err(format!("`next` leads to {}, away from {}", shown(&url), shown(start)));
    }
    Ok(url)
}

/// Reads a page, row by row, and answers where the next one is.
fn parse(body: &[u8], source: &str, answer: &mut Answer) -> Result<Option<String>, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let next = Page { source, answer }.deserialize(&mut reader)?;
    reader.end()?;
    Ok(next)
}

struct Page<'a> {
    source: &'a str,
    answer: &'a mut Answer,
}

impl<'de> DeserializeSeed<'de> for Page<'_> {
    type Value = Option<String>;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Page<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of tenants, or a map with the list in `tenants`")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Self::Value, A::Error> {
        while let Some(row) = rows.next_element::<Value>()? {
            self.answer.take(self.source, row);
        }
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut next, mut found) = (None, false);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "tenants" => {
                    map.next_value_seed(Rows { source: self.source, answer: self.answer })?;
                    found = true;
                }
                "next" => next = map.next_value::<Option<String>>()?.filter(|next| !next.is_empty()),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if found { Ok(next) } else { Err(A::Error::custom("the map has no list `tenants`")) }
    }
}

/// The list in `tenants`.
struct Rows<'a> {
    source: &'a str,
    answer: &'a mut Answer,
}

impl<'de> DeserializeSeed<'de> for Rows<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Rows<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of tenants")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        while let Some(row) = rows.next_element::<Value>()? {
            self.answer.take(self.source, row);
        }
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn page(text: &str) -> Result<(usize, u64, Option<String>), String> {
        let mut answer = Answer::default();
        let next = parse(text.as_bytes(), "crm", &mut answer).map_err(|error| error.to_string())?;
        Ok((answer.rows.len(), answer.refused.count, next))
    }

    #[test]
    fn a_page_is_a_list_or_a_map_with_one() {
        assert_eq!(page(r#"[{"id": "a"}, {"id": "b"}, 5]"#), Ok((2, 1, None)));
        assert_eq!(page(r#"{"total": {"n": 9}, "tenants": [{"id": "a"}], "next": null}"#), Ok((1, 0, None)));
        let more = page(r#"{"next": "?page=2", "tenants": []}"#).unwrap();
        assert_eq!(more, (0, 0, Some("?page=2".to_owned())));
    }

    #[test]
    fn anything_else_is_an_error_and_never_an_empty_roster() {
        for text in ["", "null", "{}", "5", r#"{"tenants": null}"#, r#"{"tenants": {}}"#, "[] x", r#"[{"id": "a"}"#] {
            assert!(page(text).is_err(), "{text}: {:?}", page(text));
        }
        assert!(page("{}").unwrap_err().contains("no list `tenants`"));
    }

    #[test]
    fn the_next_page_is_on_the_same_origin() {
        let start = Url::parse("https://crm.example/v1/tenants?token=x").unwrap();
        let join = |next| following(&start, &start, next).map(|url| url.to_string());
        assert_eq!(join("?page=2").unwrap(), "https://crm.example/v1/tenants?page=2");
        assert_eq!(join("/v1/more").unwrap(), "https://crm.example/v1/more");
        for away in ["http://crm.example/v1", "https://crm.example:444/", "//evil.example/", "https://evil.example"] {
            assert!(join(away).unwrap_err().starts_with("`next` leads to"), "{away}");
        }
        assert!(!join("//u:secret@evil.example/?q=secret").unwrap_err().contains("secret"));
    }
}
