//! The tail of reports: what `watch` and `dev` print.
//!
//! Follows the order in which reports became visible, so that none is missed and none is seen twice. A store that goes
//! away is waited for, and the tail goes on where it stopped.

use std::sync::Arc;
use std::time::Duration;

use leasehold_common::run::Report;
use leasehold_common::store::{ErrorKind, RunFilter, Runs, StoreError};
use tokio_util::sync::CancellationToken;

use crate::cli::Format;
use crate::failure::Failure;
use crate::out;
use crate::render::report::ReportTable;
use crate::render::style::Palette;
use crate::render::text::one_line;

/// How often the store is asked for more.
const POLL: Duration = Duration::from_millis(200);

/// How often, while it does not answer.
const RETRY: Duration = Duration::from_secs(1);

/// So many reports are fetched, and printed, at once.
const BATCH: u32 = 500;

/// Reports as text, in the format that was asked for, on standard output.
pub(crate) struct Printer {
    /// The columns; without, a JSON object a line.
    table: Option<ReportTable>,
    out: fn(&str) -> Result<(), Failure>,
}

impl Printer {
    /// Prints the titles, if the format has them.
    pub(crate) fn start(format: Format) -> Result<Self, Failure> {
        let table = (format == Format::Table).then(|| ReportTable::new(Palette::stdout()));
        if let Some(table) = &table {
            out::print(&table.titles())?;
        }
        Ok(Self { table, out: out::print })
    }

    /// Prints reports at once, so that a reader sees all of a batch or none of it.
    fn print(&mut self, reports: &[Report]) -> Result<(), Failure> {
        if reports.is_empty() {
            return Ok(());
        }
        let mut text = String::new();
        for report in reports {
            match &mut self.table {
                Some(table) => text.push_str(&table.line(report)),
                None => {
                    text.push_str(&serde_json::to_string(report).map_err(std::io::Error::from)?);
                    text.push('\n');
                }
            }
        }
        (self.out)(&text)
    }
}

/// A place in the order of reports, from which it goes on.
pub(crate) struct Tail {
    store: Arc<dyn Runs>,
    filter: RunFilter,
    printer: Printer,
    after: i64,
    away: bool,
}

impl Tail {
    /// Starts behind `after`.
    pub(crate) fn new(store: Arc<dyn Runs>, filter: RunFilter, printer: Printer, after: i64) -> Self {
        Self { store, filter, printer, after, away: false }
    }

    /// Prints reports as they come, until `stop` or until nobody reads them any more.
    pub(crate) async fn follow(&mut self, stop: &CancellationToken) -> Result<(), Failure> {
        while !stop.is_cancelled() {
            let wait = match self.step().await? {
                Step::More => continue,
                Step::Caught => POLL,
                Step::Away => RETRY,
            };
            if out::reader_is_gone() {
                return Ok(());
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        Ok(())
    }

    /// Prints what there is up to now. A store that does not answer ends it: this is for the end of a process.
    pub(crate) async fn finish(&mut self) -> Result<(), Failure> {
        while let Step::More = self.step().await? {}
        Ok(())
    }

    async fn step(&mut self) -> Result<Step, Failure> {
        match self.store.reports(self.after, &self.filter, BATCH).await {
            Ok((reports, upto)) => {
                self.is_back();
                self.printer.print(&reports)?;
                // The filter may have kept back a whole page, so what counts is how far the store has looked; `seq`
                // has gaps, so this may ask once more than it needs to.
                let full = upto.saturating_sub(self.after) >= i64::from(BATCH);
                self.after = self.after.max(upto);
                Ok(if full { Step::More } else { Step::Caught })
            }
            Err(error) if error.kind == ErrorKind::Conflict => Ok(Step::Caught),
            Err(error) if error.kind == ErrorKind::Unavailable => {
                self.is_away(&error);
                Ok(Step::Away)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn is_away(&mut self, error: &StoreError) {
        if !std::mem::replace(&mut self.away, true) {
            leasehold_ops::say!("the store is away, waiting for it: {}", one_line(&error.to_string()));
        }
    }

    fn is_back(&mut self) {
        if std::mem::take(&mut self.away) {
            leasehold_ops::say!("the store is back: going on after report {}", self.after);
        }
    }
}

/// What one look at the store came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// There is more at once.
    More,
    /// Everything is printed.
    Caught,
    /// The store did not answer.
    Away,
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use jiff::Timestamp;
    use leasehold_common::id::{CorrelationId, JobKey, JobName, TenantId};
    use leasehold_common::run::{RunStory, RunView};
    use leasehold_common::store::{Cancelled, JobHistory, StoreResult};

    use super::*;

    type Page = StoreResult<(Vec<Report>, i64)>;

    /// Answers what it was told to, and notes from where it was asked.
    #[derive(Default)]
    struct Script {
        pages: Mutex<Vec<Page>>,
        asked: Mutex<Vec<i64>>,
    }

    #[async_trait]
    impl Runs for Script {
        async fn reports(&self, after: i64, _: &RunFilter, _: u32) -> Page {
            self.asked.lock().unwrap().push(after);
            self.pages.lock().unwrap().pop().unwrap_or(Ok((Vec::new(), after)))
        }
        async fn last_seq(&self) -> StoreResult<i64> {
            Ok(0)
        }
        async fn runs(&self, _: &RunFilter, _: u32) -> StoreResult<Vec<RunView>> {
            Ok(Vec::new())
        }
        async fn run(&self, _: CorrelationId) -> StoreResult<Option<RunStory>> {
            Ok(None)
        }
        async fn trigger(&self, _: &TenantId, _: &JobName, _: bool) -> StoreResult<Option<CorrelationId>> {
            Ok(None)
        }
        async fn enqueue(&self, _: &leasehold_common::store::Enqueue) -> StoreResult<Option<CorrelationId>> {
            unreachable!()
        }
        async fn backfill(&self, _: JobKey, _: &[Timestamp], _: Duration) -> StoreResult<Option<u64>> {
            Ok(None)
        }
        async fn history(
            &self,
            _: &TenantId,
            _: &JobName,
            _: Timestamp,
            _: Timestamp,
        ) -> StoreResult<Option<JobHistory>> {
            Ok(None)
        }
        async fn cancel(&self, _: CorrelationId) -> StoreResult<Cancelled> {
            Ok(Cancelled::NotFound)
        }
    }

    fn tail(mut pages: Vec<Page>, after: i64) -> (Arc<Script>, Tail) {
        pages.reverse();
        let script = Arc::new(Script { pages: Mutex::new(pages), asked: Mutex::default() });
        let printer = Printer { table: None, out: |_| Ok(()) };
        (Arc::clone(&script), Tail::new(script, RunFilter::default(), printer, after))
    }

    fn error(kind: ErrorKind) -> Page {
        Err(StoreError::new(kind, "read reports", "no answer"))
    }

    #[tokio::test]
    async fn a_store_that_goes_away_is_waited_for_and_nothing_is_skipped() {
        let away = || error(ErrorKind::Unavailable);
        let (script, mut tail) =
            tail(vec![Ok((vec![], 7)), away(), error(ErrorKind::Conflict), away(), Ok((vec![], 9))], 3);
        let steps = [Step::Caught, Step::Away, Step::Caught, Step::Away, Step::Caught, Step::Caught];
        for step in steps {
            assert_eq!(tail.step().await.unwrap(), step);
        }
        assert_eq!(*script.asked.lock().unwrap(), [3, 7, 7, 7, 7, 9]);
        assert!(!tail.away);
    }

    #[tokio::test]
    async fn other_errors_end_it() {
        let (_, mut tail) = tail(vec![error(ErrorKind::Schema)], 0);
        assert!(matches!(tail.step().await, Err(Failure::Store(_))));
    }

    #[tokio::test]
    async fn a_page_that_the_filter_kept_back_is_followed_by_the_next_at_once() {
        let full = i64::from(BATCH);
        let (script, mut tail) = tail(vec![Ok((vec![], full)), Ok((vec![], 2 * full)), Ok((vec![], 2 * full + 1))], 0);
        tail.finish().await.unwrap();
        assert_eq!(*script.asked.lock().unwrap(), [0, full, 2 * full]);
    }

    #[tokio::test]
    async fn a_reader_that_went_away_is_not_written_to_again() {
        let (script, mut tail) = tail(vec![Ok((vec![crate::render::report::sample()], 1))], 0);
        tail.printer.out = |_| Err(Failure::Output(std::io::ErrorKind::BrokenPipe.into()));
        let stop = CancellationToken::new();
        assert!(matches!(tail.follow(&stop).await, Err(Failure::Output(_))));
        assert_eq!(script.asked.lock().unwrap().len(), 1);
    }
}
