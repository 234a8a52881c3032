//! HTTP requests that the operator's config asks for.
//!
//! They may reach private addresses, unlike the requests of jobs: no value of a tenant decides where they go. Redirects
//! and proxies are not followed, since what is sent may hold a secret that is meant for one origin.

use std::time::Duration;

use url::Url;

/// How long the set-up of a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// How much of a URL is shown.
const SHOWN: usize = 300;

/// A client that requests share; the error is what each of them then fails with.
#[derive(Clone, Debug)]
pub(crate) struct Client(pub(crate) Result<reqwest::Client, String>);

impl Client {
    pub(crate) fn new() -> Self {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .user_agent(concat!("leasehold/", env!("CARGO_PKG_VERSION")))
            .build();
        Self(client.map_err(|error| format!("no HTTP client: {}", chain(&error))))
    }
}

/// The URL without credentials and query, which may hold secrets.
pub(crate) fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{host}{port}{}", url.scheme(), url.path()).chars().take(SHOWN).collect()
}

/// An error with its causes.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// The value of an `Authorization` header, which is not shown.
pub(crate) fn bearer(token: &str) -> Result<reqwest::header::HeaderValue, String> {
    let mut value = reqwest::header::HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| "the bearer token has a line break or control character".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}
