//! The schedule engine, from outside.
//!
//! | module | holds the engine to |
//! |---|---|
//! | `dialect` | the specification's cases and each extension, by tables of civil times |
//! | `malformed` | what is refused, with the whole message |
//! | `words` | descriptions |
//! | `clock_changes` | the DST policies, by tables of instants in zones with every kind of change |
//! | `daemon` | a simulated cron daemon that looks at the clock every minute |
//! | `all_zones` | every zone of the bundle over twenty years, against the same daemon |
//! | `kinds` | grids, single times, windows, several at once, limits, jitter: tables and laws |
//! | `windows` | how a growing roster fills a window; windows and blackouts around every clock change |
//! | `properties` | laws that hold for any expression, and no panic for any text |
//! | `laws`, `fuzzed` | the laws as one function over bytes, and fifty thousand seeded inputs; `fuzz/` calls it too |
//! | `against_croner` | another implementation, with the disagreements explained |
//! | `zones` | zone names; the spread of first fires |
//! | `reference` | every example in docs/reference/schedules.md |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test stops at what it did not expect, and its name documents it"
)]

mod against_croner;
mod all_zones;
mod clock_changes;
mod daemon;
mod dialect;
mod fuzzed;
mod kinds;
mod laws;
mod malformed;
mod model;
mod properties;
mod reference;
mod support;
mod windows;
mod words;
mod zones;
