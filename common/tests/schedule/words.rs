//! Descriptions.

use crate::support::cron;

#[test]
fn expressions_in_words() {
    let rows = [
        ("0 2 * * *", "at 02:00 every day"),
        ("@daily", "at 00:00 every day"),
        ("@hourly", "at minute 0 of every hour"),
        ("@weekly", "at 00:00 on Sunday"),
        ("@yearly", "at 00:00 on day 1 of the month, in January"),
        ("* * * * *", "every minute"),
        ("* * * * * *", "every second"),
        ("*/10 * * * * *", "every 10 seconds"),
        ("*/15 * * * *", "every 15 minutes"),
        ("*/15 9-17 * * MON-FRI", "every 15 minutes during hours 9 to 17 on Monday to Friday"),
        ("5,35 * * * *", "at minutes 5 and 35 of every hour"),
        ("0 */6 * * *", "at minute 0 of every 6th hour"),
        ("*/7 * * * *", "at every 7th minute from 0 to 59 of every hour"),
        ("30 2,14 * * *", "at 02:30 and 14:30 every day"),
        ("15 0 2 * * *", "at 02:00:15 every day"),
        ("0 12 1 * MON", "at 12:00 on day 1 of the month and on Monday"),
        ("0 12 1 * +MON", "at 12:00 on day 1 of the month if it is Monday"),
        ("0 12 */2 * MON", "at 12:00 on every 2nd day from 1 to 31 of the month if it is Monday"),
        ("0 0 1,15,L * *", "at 00:00 on days 1 and 15 of the month and the last day of the month"),
        ("0 0 15W 6-8 *", "at 00:00 on the Monday to Friday nearest to the 15th, in June to August"),
        ("0 0 LW * *", "at 00:00 on the last Monday to Friday of the month"),
        ("0 0 L-3 * *", "at 00:00 on the day 3 days before the last of the month"),
        ("0 0 * * FRI#L,MON#1", "at 00:00 on the last Friday of the month and the 1st Monday of the month"),
        ("0 0 0 29 2 * 2028-2032", "at 00:00 on day 29 of the month, in February, in 2028 to 2032"),
    ];
    for (text, words) in rows {
        assert_eq!(cron(text).describe(), words, "{text}");
    }
}

#[test]
fn a_hash_is_described_by_what_it_came_to() {
    let words = cron("H H * * *").describe();
    assert!(words.starts_with("at ") && words.ends_with(" every day"), "{words}");
}
