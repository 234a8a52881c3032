//! The callback of an `http` job: an endpoint that answers 202 keeps the run, and reports the end by itself.
//!
//! The token is drawn for each attempt and its hash is in the store before the request goes out, since an endpoint may
//! report before it has answered. No error and no log shows a token.

use std::fmt;
use std::sync::{Arc, OnceLock};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use leasehold_common::endpoint::CallbackSpec;
use leasehold_common::store::{Attempt, SharedStore};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};
use url::Url;

use crate::handler::HandlerError;

const URL: HeaderName = HeaderName::from_static("leasehold-callback-url");
const TOKEN: HeaderName = HeaderName::from_static("leasehold-callback-token");

/// How a run is handed over to its endpoint. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Handover {
    store: SharedStore,
    /// Where callbacks are served, as the outside sees it.
    public: Option<Arc<Url>>,
    attempt: Attempt,
    /// Set once the endpoint has taken the run.
    taken: Arc<OnceLock<CallbackSpec>>,
}

impl fmt::Debug for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handover").field("attempt", &self.attempt).field("taken", &self.taken).finish_non_exhaustive()
    }
}

impl Handover {
    pub(crate) fn new(store: SharedStore, public: Option<Arc<Url>>, attempt: Attempt) -> Self {
        Self { store, public, attempt, taken: Arc::default() }
    }

    pub(crate) fn attempt(&self) -> Attempt {
        self.attempt
    }

    /// What the endpoint has taken the run with, if it has.
    pub(crate) fn taken(&self) -> Option<CallbackSpec> {
        self.taken.get().copied()
    }

    /// The endpoint has the run.
    pub(super) fn take(&self, spec: CallbackSpec) {
        // Only the one answer of this attempt sets it.
        let _ = self.taken.set(spec);
    }

    /// Draws a token, whose hash is then in the store.
    pub(super) async fn promise(&self) -> Result<Promise, HandlerError> {
        let Some(public) = &self.public else {
            return Err(HandlerError::new(
                "the job waits for a callback, and this executor does not know where: start it with --public-url, \
                 the address under which endpoints reach --callback-listen",
            ));
        };
        let token = BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        let hash = Sha256::digest(&token).into();
        let kept = self.store.expect(&[(self.attempt, hash)]).await;
        let kept = kept.map_err(|error| HandlerError::new(format!("the callback cannot be prepared: {error}")))?;
        if kept.is_empty() {
            return Err(HandlerError::new("the run is no longer this executor's"));
        }
        let base = public.as_str().trim_end_matches('/');
        Ok(Promise { url: format!("{base}/v1/runs/{}/report", self.attempt.id), token })
    }
}

/// What the endpoint is told.
#[derive(Clone)]
pub(super) struct Promise {
    url: String,
    token: String,
}

impl fmt::Debug for Promise {
    /// Leaves the token out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Promise").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Promise {
    pub(super) fn tell(&self, headers: &mut HeaderMap) -> Result<(), HandlerError> {
        headers.insert(URL, HeaderValue::from_str(&self.url)?);
        let mut token = HeaderValue::from_str(&self.token)?;
        token.set_sensitive(true);
        headers.insert(TOKEN, token);
        Ok(())
    }
}
