//! From what was written to a schedule for each zone, and what can be said against it only then.

use jiff::Timestamp;

use super::{Bound, Kind, Part, Timing};
use crate::config::report::Report;
use crate::config::templates::GIVE_OR_NARROW;
use crate::config::zones;
use crate::definition::{ScheduleSpec, Tenant};
use crate::id::{JobKey, JobName};
use crate::schedule::{DstPolicy, Moment, Zone};

impl Timing<'_, '_> {
    /// The zones of each rule for each tenant; reports the tenants for which there is none.
    pub(in crate::config) fn zones(
        &self,
        report: &mut Report<'_>,
        job: &JobName,
        tenants: &[&Tenant],
    ) -> Vec<Vec<Option<Zone>>> {
        let of = |rule| zones::of_tenants(report, rule, job, tenants, GIVE_OR_NARROW);
        self.rules.iter().map(of).collect()
    }

    /// The schedule for one zone of each rule.
    pub(in crate::config) fn spec(&self, zones: &[&Zone]) -> ScheduleSpec {
        let zone =
            |position: Option<usize>| position.and_then(|at| zones.get(at)).map_or(Zone::UTC, |zone| (*zone).clone());
        let of = |part: &Part| match &part.kind {
            Kind::Cron(expr) => ScheduleSpec::Cron { expr: expr.clone(), zone: zone(part.zone), dst: part.dst },
            Kind::Delay(interval) => ScheduleSpec::Every { interval: *interval },
            Kind::Rate(interval) => ScheduleSpec::Rate { interval: *interval },
            Kind::At(at) => ScheduleSpec::At { at: at.in_zone(&zone(part.zone)), dst: part.dst },
            Kind::Spread(window, per_second) => {
                ScheduleSpec::Spread { window: *window, zone: zone(part.zone), per_second: *per_second }
            }
        };
        let mut schedule = match self.parts.as_slice() {
            [one] => of(one),
            parts => ScheduleSpec::Any(parts.iter().map(of).collect()),
        };
        let bound = |bound: &Option<Bound>| bound.as_ref().map(|bound| bound.at.in_zone(&zone(bound.zone)));
        let (start, end) = (bound(&self.start), bound(&self.end));
        match self.jitter {
            None => within(schedule, start, end, self.max_runs),
            // The bounds are those of the exact times; what counts runs stands outside, where the planner looks for it.
            Some(jitter) => {
                schedule = within(schedule, start, end, None);
                schedule = ScheduleSpec::Jittered { schedule: Box::new(schedule), jitter };
                within(schedule, None, None, self.max_runs)
            }
        }
    }

    /// Reports what can never be due, now that the zones are known. `spec` is an answer of [`Timing::spec`].
    pub(in crate::config) fn check(&self, report: &mut Report<'_>, spec: &ScheduleSpec) {
        match spec {
            ScheduleSpec::Jittered { schedule, .. } => self.check(report, schedule),
            ScheduleSpec::Within { schedule, start, end, .. } => {
                let before = report.errors();
                self.check(report, schedule);
                if report.errors() == before && (start.is_some() || end.is_some()) {
                    self.check_bounds(report, spec, start.as_ref(), end.as_ref());
                }
            }
            ScheduleSpec::Any(specs) => {
                specs.iter().zip(&self.parts).for_each(|(spec, part)| check_at(report, spec, part))
            }
            _ => self.parts.iter().for_each(|part| check_at(report, spec, part)),
        }
    }

    /// Warns of windows that are too short for those who share them.
    pub(in crate::config) fn check_ceiling(&self, report: &mut Report<'_>, tenants: usize) {
        for part in &self.parts {
            let Kind::Spread(window, Some(most)) = part.kind else { continue };
            let room = u64::from(window.seconds()) * u64::from(most.get());
            if tenants as u64 > room {
                let message =
                    format!("the window has room for {room} runs at {most} a second, and {tenants} tenants share it");
                let help = "raise `per_second` or make the window longer; what does not fit starts after it".to_owned();
                report.warn(&part.span, message, Some(help));
            }
        }
    }

    fn check_bounds(&self, report: &mut Report<'_>, spec: &ScheduleSpec, start: Option<&Moment>, end: Option<&Moment>) {
        let Some(span) = self.end.as_ref().or(self.start.as_ref()).map(|bound| &bound.span) else { return };
        if let (Some(from), Some(to)) = (start.and_then(Moment::reached), end.and_then(Moment::reached))
            && to <= from
        {
            report.error(span, "`end` is not after `start`", Some(format!("they are {from} and {to}")));
            return;
        }
        // Where a hash decides, what is true of one job need not be of another; and of a delay nothing is known ahead.
        if !spec.is_seeded()
            && spec.interval().is_none()
            && let Ok(schedule) = spec.compile(JobKey::from_i64(0))
            && schedule.next_after(Timestamp::MIN).is_none()
        {
            let limits = match (start, end) {
                (Some(_), Some(_)) => "from `start` up to `end`",
                (Some(_), None) => "from `start` on",
                _ => "before `end`",
            };
            let help = "`start` belongs to the times that may be due, `end` does not".to_owned();
            report.error(span, format!("nothing is due {limits}"), Some(help));
        }
    }
}

/// A schedule with its limits, if it has any.
fn within(schedule: ScheduleSpec, start: Option<Moment>, end: Option<Moment>, max_runs: Option<u32>) -> ScheduleSpec {
    if start.is_none() && end.is_none() && max_runs.is_none() {
        return schedule;
    }
    ScheduleSpec::Within { schedule: Box::new(schedule), start, end, max_runs }
}

fn check_at(report: &mut Report<'_>, spec: &ScheduleSpec, part: &Part) {
    if let ScheduleSpec::At { at: at @ Moment::Civil { at: time, zone }, dst } = spec
        && at.due(*dst).is_none()
    {
        let help = match at.due(DstPolicy::Once) {
            Some(_) => "with `dst: once` it is due right after the change",
            None => "write a time that they show",
        };
        report.error(&part.span, format!("the clocks of {zone} never show {time}"), Some(help.to_owned()));
    }
}
