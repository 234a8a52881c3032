//! The reconciler on a SQLite store in memory, with sources on a small HTTP server.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::HashMap;
use std::sync::Mutex;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use leasehold_common::clock::BootClock;
use leasehold_common::config::ConfigText;
use leasehold_common::lease::{Acquired, Candidate, LeaseKind, TrustWindow};
use leasehold_common::store::{Applied, SourceView};
use leasehold_store::{Options, WallClock};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::testing::{TIMING, lock};

/// What a source of the tests says.
#[derive(Clone, Debug, Default)]
struct Says {
    status: u16,
    rows: Vec<Value>,
    /// Rows of a page, if they come in pages.
    page: Option<usize>,
    etag: Option<String>,
    location: Option<String>,
    /// What it wants to be told.
    bearer: Option<String>,
    asked: u32,
    not_modified: u32,
}

type Sources = Arc<Mutex<HashMap<String, Says>>>;

async fn answer(
    State(sources): State<Sources>,
    Path(name): Path<String>,
    Query(query): Query<HashMap<String, usize>>,
    headers: HeaderMap,
) -> Response {
    let mut sources = lock(&sources);
    let says = sources.entry(name).or_default();
    says.asked += 1;
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    if let Some(location) = &says.location {
        return (StatusCode::FOUND, [("location", location.clone())]).into_response();
    }
    if says.bearer.as_ref().is_some_and(|token| header("authorization") != Some(format!("Bearer {token}"))) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if says.etag.is_some() && says.etag == header("if-none-match") {
        says.not_modified += 1;
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let status = StatusCode::from_u16(says.status).unwrap_or(StatusCode::OK);
    let from = query.get("from").copied().unwrap_or(0);
    let body = match says.page {
        None => json!(says.rows),
        Some(size) => {
            let next = (from + size < says.rows.len()).then(|| format!("?from={}", from + size));
            json!({"tenants": says.rows.iter().skip(from).take(size).collect::<Vec<_>>(), "next": next})
        }
    };
    let etag = says.etag.clone().unwrap_or_default();
    match etag.as_str() {
        "" => (status, body.to_string()).into_response(),
        etag => (status, [("etag", etag.to_owned())], body.to_string()).into_response(),
    }
}

/// A store, a term, and sources.
struct Site {
    store: SharedStore,
    term: LeaderTerm,
    clock: WallClock,
    origin: String,
    sources: Sources,
    reconciler: Reconciler,
}

const JOBS: &str = "
jobs:
  - name: sync
    cron: \"0 * * * *\"
    handler: sync
  - name: report
    tenants: { plan: pro }
    every: 1h
    handler: report
  - name: audit
    cron: \"30 * * * *\"
    handler: audit
    requires: { feature: audit }
";

impl Site {
    async fn new() -> Self {
        let clock = WallClock::default();
        let options = Options { clock: clock.clone(), ..Options::default() };
        let store = leasehold_store::open("sqlite::memory:", &options).await.unwrap();
        store.migrate().await.unwrap();
        let term = elect(&store).await;
        let sources = Sources::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/{name}", get(answer)).with_state(Arc::clone(&sources));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let reconciler = Reconciler::new(store.clone(), Duration::from_secs(20));
        Self { store, term, clock, origin, sources, reconciler }
    }

    /// Changes what a source says.
    fn says(&self, name: &str, change: impl FnOnce(&mut Says)) {
        change(lock(&self.sources).entry(name.to_owned()).or_default());
    }

    fn names(&self, name: &str, tenants: &[&str]) {
        self.says(name, |says| says.rows = tenants.iter().map(|id| json!({"id": id})).collect());
    }

    /// A config with these sources.
    fn config(&self, file: &str, names: &[&str], extra: &str) -> String {
        let source = |name: &&str| format!("    - {{ name: {name}, http: {{ url: \"{}/{name}\" }} }}\n", self.origin);
        let sources: String = names.iter().map(source).collect();
        let roster = if sources.is_empty() { String::new() } else { format!("roster:\n{extra}  sources:\n{sources}") };
        format!("version: 1\ntenants: {file}\n{roster}{JOBS}")
    }

    /// Brings a config into force as `apply` does.
    async fn apply(&self, text: &str) {
        let (text, checked) = ConfigText::capture("leasehold.yaml", text.to_owned(), &|_| None);
        let config = checked.config.unwrap_or_else(|| panic!("{:?}", checked.diagnostics));
        let stored = Arc::new(self.store.snapshot().await.unwrap());
        let live: Vec<_> = stored.tenants.iter().filter(|member| !member.source.is_empty()).cloned().collect();
        let desired = Arc::new(config.desired(stored.now, &live));
        let mut plan = Planner::default().plan(&*self.store, desired, Arc::clone(&stored)).await.unwrap().unwrap();
        plan.put_config(&text, &stored);
        assert!(matches!(self.store.apply(&plan, None).await.unwrap(), Applied::Done { .. }));
    }

    async fn tick(&mut self) -> Summary {
        match self.reconciler.tick(&self.term).await.unwrap() {
            Ticked::Done(summary) => summary,
            other => panic!("{other:?}"),
        }
    }

    /// Asks for a refresh and does it.
    async fn refresh(&mut self) -> Summary {
        let request = self.store.request_refresh(false).await.unwrap();
        let summary = self.tick().await;
        assert_eq!(self.store.roster_state().await.unwrap().done, request);
        summary
    }

    /// A leader that knows nothing.
    fn begin_another_term(&mut self) {
        self.reconciler = Reconciler::new(self.store.clone(), Duration::from_secs(20));
    }

    async fn jobs(&self) -> Vec<String> {
        let jobs = self.store.jobs(None, None, 1_000).await.unwrap();
        jobs.iter().map(|job| format!("{}/{}", job.tenant, job.job)).collect()
    }

    async fn tenants(&self) -> Vec<(String, String)> {
        let tenants = self.store.origins(None, 1_000).await.unwrap();
        tenants.into_iter().map(|(id, source)| (id.to_string(), source)).collect()
    }

    async fn view(&self, name: &str) -> SourceView {
        let sources = self.store.sources().await.unwrap();
        sources.into_iter().find(|source| source.source == name).unwrap()
    }

    async fn revision(&self) -> i64 {
        self.store.snapshot().await.unwrap().revision
    }
}

fn named(tenants: &[(&str, &str)]) -> Vec<(String, String)> {
    tenants.iter().map(|(id, source)| ((*id).to_owned(), (*source).to_owned())).collect()
}

async fn elect(store: &SharedStore) -> LeaderTerm {
    let candidate = Candidate { holder: Uuid::now_v7(), host: "test".to_owned(), pid: 1, kind: LeaseKind::Store };
    let Acquired::Elected(term) = store.acquire(&candidate, Duration::from_secs(360_000)).await.unwrap() else {
        panic!("not elected");
    };
    let clock = BootClock::manual();
    LeaderTerm::new(term, clock.clone(), TrustWindow::from_renewal(clock.now(), &TIMING))
}

#[tokio::test]
async fn tenants_join_change_and_leave() {
    let mut site = Site::new().await;
    site.says("crm", |says| says.rows = vec![json!({"id": "a", "plan": "pro"}), json!({"id": "b"})]);
    site.apply(&site.config("[{ id: own }]", &["crm"], "  max_drop: 1\n")).await;
    assert_eq!(site.tenants().await, named(&[("own", "")]));
    assert_eq!(site.tick().await, Summary { asked: true, put: 2, left: 0 });
    assert_eq!(site.tenants().await, named(&[("a", "crm"), ("b", "crm"), ("own", "")]));
    assert_eq!(site.jobs().await, ["a/audit", "a/report", "a/sync", "b/audit", "b/sync", "own/audit", "own/sync"]);
    assert_eq!(site.view("crm").await.tenants, 2);

    site.says("crm", |says| says.rows = vec![json!({"id": "b", "plan": "pro", "features": ["audit"]})]);
    assert_eq!(site.refresh().await, Summary { asked: true, put: 1, left: 1 });
    assert_eq!(site.tenants().await, named(&[("b", "crm"), ("own", "")]));
    assert_eq!(site.jobs().await, ["b/audit", "b/report", "b/sync", "own/audit", "own/sync"]);
    let jobs = site.store.snapshot().await.unwrap().jobs;
    let gated: Vec<_> = jobs.iter().filter(|job| job.active && job.gated).map(|job| job.tenant.as_str()).collect();
    assert_eq!(gated, ["own"], "whoever has the feature now is let through");
}

#[tokio::test]
async fn an_answer_that_is_the_same_writes_nothing_to_the_catalog() {
    let mut site = Site::new().await;
    site.names("crm", &["a", "b"]);
    site.apply(&site.config("[]", &["crm"], "")).await;
    site.tick().await;
    let before = site.revision().await;
    assert_eq!(site.tick().await, Summary::default(), "it is not time yet");
    site.says("crm", |says| says.rows.reverse());
    assert_eq!(site.refresh().await, Summary { asked: true, put: 0, left: 0 });

    site.says("crm", |says| says.etag = Some("\"one\"".to_owned()));
    site.refresh().await;
    site.says("crm", |says| says.rows.push(json!({"id": "c"})));
    site.says("crm", |says| says.etag = Some("\"two\"".to_owned()));
    assert_eq!(site.refresh().await.put, 1);
    let after = site.revision().await;
    assert!(after > before);
    site.refresh().await;
    site.refresh().await;
    assert_eq!(lock(&site.sources)["crm"].not_modified, 2, "it is asked whether anything has changed");
    site.begin_another_term();
    site.tick().await;
    assert_eq!(lock(&site.sources)["crm"].not_modified, 2, "a new leader has to know");
    assert_eq!(site.revision().await, after);
    assert_eq!(site.view("crm").await.tenants, 3);
}

#[tokio::test]
async fn the_first_source_wins_and_the_file_before_all() {
    let mut site = Site::new().await;
    site.names("first", &["own", "both", "a"]);
    site.names("second", &["both", "own", "b"]);
    site.apply(&site.config("[{ id: own }]", &["first", "second"], "  max_drop: 1\n")).await;
    site.tick().await;
    let all = [("a", "first"), ("b", "second"), ("both", "first"), ("own", "")];
    assert_eq!(site.tenants().await, named(&all));
    assert_eq!((site.view("first").await.tenants, site.view("second").await.tenants), (2, 1));

    site.says("second", |says| says.etag = Some("\"same\"".to_owned()));
    site.refresh().await;
    site.names("first", &["a"]);
    site.refresh().await;
    let moved = [("a", "first"), ("b", "second"), ("both", "second"), ("own", "")];
    assert_eq!(site.tenants().await, named(&moved), "who is left out is found in a source that did not change");
    assert_eq!(site.jobs().await.iter().filter(|job| job.starts_with("both/")).count(), 2);
}

#[tokio::test]
async fn a_source_that_fails_changes_nothing() {
    let mut site = Site::new().await;
    site.names("crm", &["a", "b"]);
    site.names("other", &["c"]);
    site.apply(&site.config("[]", &["crm", "other"], "")).await;
    site.tick().await;
    type Change = fn(&mut Says);
    let fail: [(&str, Change); 3] = [
        ("503", |says| says.status = 503),
        ("redirects are not followed", |says| says.location = Some("/other".to_owned())),
        ("401", |says| says.bearer = Some("token".to_owned())),
    ];
    for (why, change) in fail {
        let good = site.view("crm").await;
        site.says("crm", change);
        site.names("other", &["c", why.get(..3).unwrap_or(why)]);
        site.refresh().await;
        let view = site.view("crm").await;
        assert!(view.error.as_deref().unwrap().contains(why), "{view:?}");
        assert_eq!((view.tenants, view.good_at), (2, good.good_at));
        assert_eq!(site.jobs().await.iter().filter(|job| job.ends_with("/sync")).count(), 4, "the others go on");
        site.says("crm", |says| (says.status, says.location, says.bearer) = (200, None, None));
        site.refresh().await;
        assert!(site.view("crm").await.is_good());
    }
    // Nor when a new leader knows nothing of what it said before.
    site.says("crm", |says| says.status = 500);
    site.begin_another_term();
    site.tick().await;
    assert_eq!(site.view("crm").await.tenants, 2);
}

#[tokio::test]
async fn an_answer_that_leaves_out_too_many_is_held_back() {
    let mut site = Site::new().await;
    let ten: Vec<String> = (0..10).map(|n| format!("t{n}")).collect();
    let ten: Vec<&str> = ten.iter().map(String::as_str).collect();
    site.names("crm", &ten);
    site.apply(&site.config("[]", &["crm"], "")).await;
    site.tick().await;
    site.names("crm", &ten[..6]);
    site.says("crm", |says| says.etag = Some("\"few\"".to_owned()));
    for _ in 0..2 {
        site.refresh().await;
        let view = site.view("crm").await;
        assert_eq!((view.held, view.tenants), (Some(Held { gone: 4, of: 10 }), 10));
        assert_eq!(site.tenants().await.len(), 10);
    }
    site.names("crm", &[]);
    site.says("crm", |says| says.etag = None);
    site.refresh().await;
    assert_eq!(site.view("crm").await.held, Some(Held { gone: 10, of: 10 }), "nobody at all is no answer");

    site.names("crm", &ten[..7]);
    site.refresh().await;
    assert_eq!((site.view("crm").await.held, site.tenants().await.len()), (None, 7), "three of ten may go");
    site.names("crm", &ten[..1]);
    site.refresh().await;
    assert_eq!(site.tenants().await.len(), 7);
    site.store.request_refresh(true).await.unwrap();
    site.tick().await;
    assert_eq!((site.view("crm").await.held, site.tenants().await.len()), (None, 1), "if that is meant");
}

#[tokio::test]
async fn refused_tenants_are_refused_alone_and_keep_what_they_have() {
    let mut site = Site::new().await;
    site.says("crm", |says| says.rows = vec![json!({"id": "a", "timezone": "Europe/Berlin"}), json!({"id": "b"})]);
    site.apply(&site.config("[]", &["crm"], "")).await;
    site.tick().await;
    site.says("crm", |says| {
        says.rows = vec![
            json!({"id": "a", "timezone": "Mars/Base"}),
            json!({"id": "b", "plan": "pro"}),
            json!({"id": "no good"}),
            json!({"id": "c", "timezone": "Nowhere"}),
            json!({"id": "d"}),
        ];
    });
    assert_eq!(site.refresh().await.put, 2, "b and d");
    assert_eq!(site.tenants().await, named(&[("a", "crm"), ("b", "crm"), ("d", "crm")]));
    let view = site.view("crm").await;
    assert_eq!((view.tenants, view.refused), (3, 3));
    let mut who: Vec<_> = view.refusals.iter().map(|refusal| refusal.tenant.as_str()).collect();
    who.sort_unstable();
    assert_eq!(who, ["a", "c", "no good"]);
    let a = site.store.snapshot().await.unwrap().tenants.remove(0);
    assert_eq!(a.timezone.as_ref().map(|zone| zone.name()), Some("Europe/Berlin"));

    site.begin_another_term();
    site.tick().await;
    assert_eq!(site.view("crm").await.refused, 3, "a new leader finds them too");
    assert_eq!(site.refresh().await, Summary { asked: true, put: 0, left: 0 });
    assert_eq!(site.view("crm").await.refused, 3, "and they are not forgotten while nothing changes");
    site.says("crm", |says| says.rows.truncate(2));
    site.says("crm", |says| says.rows[0] = json!({"id": "a"}));
    site.store.request_refresh(true).await.unwrap();
    site.tick().await;
    assert_eq!(site.view("crm").await.refused, 0);
}

/// The refusal comes from a job: its URL needs a label that the tenant does not have.
#[tokio::test]
async fn tenants_that_do_not_fit_a_job_keep_what_they_have() {
    let mut site = Site::new().await;
    site.says("crm", |says| says.rows = vec![json!({"id": "a", "labels": {"host": "x.example"}}), json!({"id": "b"})]);
    let config = site.config("[]", &["crm"], "");
    let config = config.replace("handler: sync", "http: { url: \"https://example.com/{{ tenant.labels.host }}\" }");
    site.apply(&config).await;
    site.tick().await;
    assert_eq!(site.tenants().await, named(&[("a", "crm")]));
    let view = site.view("crm").await;
    assert_eq!((view.tenants, view.refused, view.refusals[0].tenant.as_str()), (1, 1, "b"));
    site.says("crm", |says| says.rows[0] = json!({"id": "a", "plan": "pro"}));
    site.refresh().await;
    assert_eq!(site.jobs().await, ["a/audit", "a/sync"], "as it was");
    assert_eq!((site.view("crm").await.tenants, site.view("crm").await.refused), (1, 2));
    site.says("crm", |says| says.rows[1] = json!({"id": "b", "labels": {"host": "y.example"}}));
    site.refresh().await;
    assert_eq!((site.view("crm").await.tenants, site.view("crm").await.refused), (2, 1));
}

#[tokio::test]
async fn another_config_is_reconciled_with_what_the_sources_say_now() {
    let mut site = Site::new().await;
    site.names("crm", &["a"]);
    site.names("old", &["x", "y"]);
    site.apply(&site.config("[]", &["crm", "old"], "")).await;
    site.tick().await;
    assert_eq!(site.store.roster_state().await.unwrap().pass.map(|pass| pass.config), Some(1));
    site.names("crm", &["a", "b"]);
    let config = site.config("[{ id: own }]", &["crm"], "").replace("\"0 * * * *", "\"15 * * * *");
    site.apply(&config).await;
    assert_eq!(
        site.tenants().await,
        named(&[("a", "crm"), ("own", "")]),
        "the source that is gone takes its tenants along"
    );
    site.tick().await;
    assert_eq!(site.tenants().await, named(&[("a", "crm"), ("b", "crm"), ("own", "")]));
    let config = site.store.roster_state().await.unwrap().config;
    assert_eq!(site.store.roster_state().await.unwrap().pass.map(|pass| pass.config), config);
    assert_eq!(site.store.sources().await.unwrap().len(), 1, "and nobody asks it any more");
    for job in site.store.jobs(None, None, 100).await.unwrap().iter().filter(|job| job.job.as_str() == "sync") {
        assert!(job.definition.to_string().contains("15 * * * *"), "{job:?}");
    }
}

#[tokio::test]
async fn an_override_begins_and_ends_by_itself() {
    let mut site = Site::new().await;
    site.names("crm", &["a"]);
    let now = site.store.roster_state().await.unwrap().now;
    let at = |hours: i64| jiff::Timestamp::from_second(now.as_second() + hours * 3_600).unwrap();
    let config = site.config("[{ id: own }]", &["crm"], "");
    let config = format!(
        "{config}overrides:\n  - {{ job: audit, from: \"{}\", until: \"{}\", reason: test, \
         set: {{ enabled: false }} }}\n",
        at(1),
        at(2)
    );
    site.apply(&config).await;
    site.tick().await;
    let audits = async |site: &Site| site.jobs().await.iter().filter(|job| job.ends_with("/audit")).count();
    assert_eq!(audits(&site).await, 2);
    assert_eq!(site.tick().await, Summary::default());
    site.clock.advance(Duration::from_secs(3_700));
    site.tick().await;
    assert_eq!(audits(&site).await, 0, "of the file's tenants and of live ones");
    assert_eq!(site.tick().await, Summary::default());
    site.begin_another_term();
    site.clock.advance(Duration::from_secs(3_600));
    site.tick().await;
    assert_eq!(audits(&site).await, 2);
}

#[tokio::test]
async fn runs_of_tenants_that_leave_stop_if_the_config_says_so() {
    for (on_leave, stopped) in [("finish", false), ("cancel", true)] {
        let mut site = Site::new().await;
        site.names("crm", &["a", "b"]);
        site.apply(&site.config("[]", &["crm"], &format!("  max_drop: 1\n  on_leave: {on_leave}\n"))).await;
        site.tick().await;
        let (a, sync) = ("a".parse().unwrap(), "sync".parse().unwrap());
        let id = site.store.trigger(&a, &sync, false).await.unwrap().unwrap();
        site.store.activate(10).await.unwrap();
        let request = leasehold_common::store::ClaimRequest {
            executor: Uuid::now_v7(),
            limit: 5,
            queues: vec![leasehold_common::id::QueueName::default()],
            ttl: Duration::from_secs(600),
            abilities: None,
        };
        let claimed = site.store.claim(&request).await.unwrap();
        assert_eq!(claimed.items.len(), 1);
        site.names("crm", &["b"]);
        site.refresh().await;
        assert_eq!(site.tenants().await, named(&[("b", "crm")]));
        let extended = site.store.extend(request.executor, &[claimed.claim], request.ttl).await.unwrap();
        assert_eq!(extended.cancel, if stopped { vec![id] } else { vec![] });
    }
}

#[tokio::test]
async fn large_rosters_come_in_pages_and_are_written_in_batches() {
    let mut site = Site::new().await;
    let ids: Vec<String> = (0..2_321).map(|n| format!("t{n:05}")).collect();
    site.names("crm", &ids.iter().map(String::as_str).collect::<Vec<_>>());
    site.says("crm", |says| (says.page, says.etag) = (Some(500), Some("\"page\"".to_owned())));
    site.apply(&site.config("[]", &["crm"], "")).await;
    assert_eq!(site.tick().await.put, 2_321);
    assert_eq!(lock(&site.sources)["crm"].asked, 5);
    assert_eq!(site.store.status().await.unwrap().catalog.jobs, 2 * 2_321);
    assert!(site.revision().await > 3, "not all at once");
    site.refresh().await;
    assert_eq!(lock(&site.sources)["crm"].not_modified, 0, "a tag of the first page says nothing of the others");
    site.says("crm", |says| says.rows.truncate(2_000));
    assert_eq!(site.refresh().await, Summary { asked: true, put: 0, left: 321 });
}

#[tokio::test]
async fn nothing_is_written_without_trust_or_under_an_old_term() {
    let mut site = Site::new().await;
    site.names("crm", &["a"]);
    site.apply(&site.config("[]", &["crm"], "")).await;
    let newer = site.term.clone();
    site.term = LeaderTerm::new(
        leasehold_common::lease::Term { epoch: newer.term().epoch - 1, ..*newer.term() },
        BootClock::manual(),
        TrustWindow::from_renewal(BootClock::manual().now(), &TIMING),
    );
    assert_eq!(site.reconciler.tick(&site.term).await.unwrap(), Ticked::StaleTerm);
    let clock = BootClock::manual();
    let lapsed = LeaderTerm::new(*newer.term(), clock.clone(), TrustWindow::from_renewal(clock.now(), &TIMING));
    clock.advance(Duration::from_secs(9));
    assert_eq!(site.reconciler.tick(&lapsed).await.unwrap(), Ticked::Untrusted);
    assert_eq!((site.tenants().await, site.store.sources().await.unwrap()), (vec![], vec![]));
}
