//! Zone names, and the spread of first fires.

use std::time::Duration;

use leasehold_common::schedule::{Zone, ZoneError, stable_spread, tzdb_version, tzdb_version_of_host};

#[test]
fn names_are_taken_in_any_case_and_kept_as_the_database_spells_them() {
    for (text, name) in [
        ("america/new_york", "America/New_York"),
        ("EUROPE/BERLIN", "Europe/Berlin"),
        ("utc", "UTC"),
        ("UTC", "UTC"),
        ("Etc/UTC", "Etc/UTC"),
        // Aliases stay what was written.
        ("US/Eastern", "US/Eastern"),
        ("Asia/Calcutta", "Asia/Calcutta"),
        ("Etc/GMT+5", "Etc/GMT+5"),
        ("EST5EDT", "EST5EDT"),
    ] {
        let zone = Zone::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!((zone.name(), zone.to_string().as_str()), (name, name));
    }
    assert_eq!(Zone::default(), Zone::UTC);
    assert_eq!(Zone::parse("utc").unwrap(), Zone::UTC);
}

#[test]
fn what_is_no_name_is_refused_with_the_reason() {
    let refused = |text: &str| Zone::parse(text).unwrap_err().to_string();
    for text in ["", "  "] {
        assert_eq!(Zone::parse(text), Err(ZoneError::Empty));
    }
    for text in ["Local", "local", "localtime", "Factory", "Etc/Unknown"] {
        assert_eq!(Zone::parse(text), Err(ZoneError::Local(text.to_owned())));
    }
    for text in
        ["+02:00", "-05", "UTC+2", "GMT-3", "EST5EDT,M3.2.0,M11.1.0", "CET-1CEST", ":Europe/Berlin", "Z", "<+03>-3"]
    {
        assert_eq!(Zone::parse(text), Err(ZoneError::NotAName(text.to_owned())), "{text}");
    }
    assert_eq!(refused("America/NewYork"), "there is no time zone `America/NewYork`: did you mean `America/New_York`?");
    assert_eq!(refused("Berlin"), "there is no time zone `Berlin`: did you mean `Europe/Berlin`?");
    assert_eq!(refused("Europe/Berln"), "there is no time zone `Europe/Berln`: did you mean `Europe/Berlin`?");
    assert_eq!(refused("new york"), "there is no time zone `new york`: did you mean `America/New_York`?");
    assert_eq!(refused("Mars/Olympus_Mons"), "there is no time zone `Mars/Olympus_Mons`");
    assert_eq!(
        refused("Local"),
        "`Local` means another zone on every host: write an IANA name such as `Europe/Berlin`, or `UTC`"
    );
}

#[test]
fn every_name_of_the_bundle_is_a_zone() {
    let mut count = 0;
    for name in Zone::names() {
        assert_eq!(Zone::parse(name).unwrap().name(), name);
        count += 1;
    }
    assert!(count > 590, "{count}");
}

#[test]
fn a_zone_is_written_as_its_name() {
    let zone = Zone::parse("Asia/Tokyo").unwrap();
    let json = serde_json::to_string(&zone).unwrap();
    assert_eq!(json, "\"Asia/Tokyo\"");
    assert_eq!(serde_json::from_str::<Zone>(&json).unwrap(), zone);
    let error = serde_json::from_str::<Zone>("\"Asia/Tokio\"").unwrap_err().to_string();
    assert!(error.starts_with("there is no time zone `Asia/Tokio`: did you mean `Asia/Tokyo`?"), "{error}");
}

#[test]
fn the_version_of_the_zone_data_is_known_and_compares() {
    let bundled = tzdb_version().unwrap();
    assert!(bundled >= "2025b", "{bundled}");
    assert_eq!(
        tzdb_version_of_host("# version 2025b\n# This zic input file is in the public domain.\n"),
        Some("2025b")
    );
    assert_eq!(tzdb_version_of_host("# This zic input file\n"), None);
    assert_eq!(tzdb_version_of_host(""), None);
}

#[test]
fn first_fires_are_spread_over_the_interval_and_pinned() {
    let five = Duration::from_secs(300);
    // Pinned: other values would mean that replicas of two versions disagree.
    assert_eq!(stable_spread(0, five), Duration::from_micros(SPREAD[0]));
    assert_eq!(stable_spread(1, five), Duration::from_micros(SPREAD[1]));
    assert_eq!(stable_spread(u64::MAX, five), Duration::from_micros(SPREAD[2]));

    let mut seconds = [0; 10];
    for key in 0..10_000 {
        let first = stable_spread(key, Duration::from_secs(10));
        assert!(first > Duration::ZERO && first <= Duration::from_secs(10));
        seconds[(first.as_nanos().div_ceil(1_000_000_000) - 1) as usize] += 1;
    }
    assert!(seconds.iter().all(|n| (850..=1150).contains(n)), "{seconds:?}");
}

/// From the published first outputs of SplitMix64 for these seeds (`e220a8397b1dcdaf` for 0), as parts of 300 s.
const SPREAD: [u64; 3] = [264_993_243, 169_968_473, 268_182_877];

#[test]
fn degenerate_intervals_are_safe() {
    assert_eq!(stable_spread(7, Duration::ZERO), Duration::ZERO);
    assert_eq!(stable_spread(7, Duration::from_nanos(999)), Duration::from_nanos(999));
    assert_eq!(stable_spread(7, Duration::from_micros(1)), Duration::from_micros(1));
    assert!(stable_spread(7, Duration::MAX) <= Duration::MAX);
}
