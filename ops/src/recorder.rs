//! Metrics: one recorder for the process, and what `/metrics` answers.
//!
//! Every part records through the `metrics` facade; without a recorder that costs nothing. Names and labels are listed
//! in docs/reference/metrics.md. No label ever takes an unbounded set of values.

use std::sync::{Mutex, OnceLock, PoisonError};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::process;
use crate::queues::Queues;

/// Upper bounds for histograms of seconds: from a round trip to a local store up to a long run.
const SECONDS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0];

/// What was recorded. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
    /// Shown beside what was recorded.
    queues: Option<Queues>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// No recorder could be set up.
#[derive(Debug, thiserror::Error)]
#[error("cannot record metrics: {0}")]
pub struct InstallError(#[from] metrics_exporter_prometheus::BuildError);

/// Sets up the recorder of this process, or answers the one that is set up already. `binary` is the program's name,
/// `version` its version.
pub fn install(binary: &'static str, version: &'static str) -> Result<Metrics, InstallError> {
    static INSTALLED: OnceLock<Metrics> = OnceLock::new();
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(metrics) = INSTALLED.get() {
        return Ok(metrics.clone());
    }
    let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?;
    let metrics = Metrics { handle: builder.install_recorder()?, queues: None };
    describe(binary, version);
    Ok(INSTALLED.get_or_init(|| metrics).clone())
}

fn describe(binary: &'static str, version: &'static str) {
    metrics::describe_gauge!("leasehold_build_info", "Always 1; the labels say what runs.");
    let zone_data = leasehold_common::schedule::tzdb_version().unwrap_or("unknown");
    metrics::gauge!("leasehold_build_info", "binary" => binary, "version" => version, "tzdb" => zone_data).set(1.0);
}

impl Metrics {
    /// These metrics, with how the queues stand whenever somebody asks.
    #[must_use]
    pub fn with_queues(self, queues: Queues) -> Self {
        Self { queues: Some(queues), ..self }
    }

    /// What was recorded, in the Prometheus text format.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = self.handle.render();
        text.push_str(&process::exposition());
        text
    }

    /// All metrics: what was recorded, and what is asked for at this moment.
    pub(crate) async fn exposition(&self) -> String {
        let mut text = self.render();
        if let Some(queues) = &self.queues {
            text.push_str(&queues.exposition().await);
        }
        text
    }

    /// Folds recorded samples into their histograms. Without it, samples pile up in memory between scrapes.
    pub(crate) fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}
