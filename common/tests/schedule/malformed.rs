//! What is refused, with the whole message and the place of the caret.

use leasehold_common::schedule::{CronError, CronExpr, Field};

fn refusal(text: &str) -> CronError {
    CronExpr::parse(text).err().unwrap_or_else(|| panic!("{text} was accepted"))
}

/// Rows of expression, the part that the caret is under, and the message.
fn check(rows: &[(&str, &str, &str)]) {
    for (text, part, message) in rows {
        let error = refusal(text);
        assert_eq!(error.to_string(), *message, "{text}");
        let span = error.span().map(|s| text.get(s).unwrap()).unwrap_or_default();
        assert_eq!(span, *part, "{text}");
        // H or not makes no difference to what is malformed.
        assert_eq!(CronExpr::parse_seeded(text, 1).unwrap_err(), error, "{text}");
    }
}

#[test]
fn lists() {
    check(&[
        (
            "1,,2 * * * *",
            "1,,2",
            "minute field: `1,,2` has a comma with nothing beside it: write values with one comma between each two",
        ),
        (
            ",1 * * * *",
            ",1",
            "minute field: `,1` has a comma with nothing beside it: write values with one comma between each two",
        ),
        (
            "0 1, * * *",
            "1,",
            "hour field: `1,` has a comma with nothing beside it: write values with one comma between each two",
        ),
        (
            "0 0 * * ,",
            ",",
            "day-of-week field: `,` has a comma with nothing beside it: write values with one comma between each two",
        ),
    ]);
}

#[test]
fn numbers() {
    check(&[
        ("60 * * * *", "60", "minute field: `60` is out of range: the field takes 0 to 59"),
        ("* 24 * * *", "24", "hour field: `24` is out of range: the field takes 0 to 23"),
        ("* * 0 * *", "0", "day-of-month field: `0` is out of range: the field takes 1 to 31"),
        ("* * 32 * *", "32", "day-of-month field: `32` is out of range: the field takes 1 to 31"),
        ("* * * 13 *", "13", "month field: `13` is out of range: the field takes 1 to 12 or JAN to DEC"),
        ("* * * * 8", "8", "day-of-week field: `8` is out of range: the field takes 0 to 7 or SUN to SAT"),
        ("61 * * * * *", "61", "second field: `61` is out of range: the field takes 0 to 59"),
        ("0 0 0 1 1 * 1969", "1969", "year field: `1969` is out of range: the field takes 1970 to 9999"),
        (
            "99999999999999999999 * * * *",
            "99999999999999999999",
            "minute field: `99999999999999999999` is out of range: the field takes 0 to 59",
        ),
        ("0 5,24 * * *", "24", "hour field: `24` is out of range: the field takes 0 to 23"),
        ("-1 * * * *", "-1", "minute field: `-1` is half a range: write both ends, as in `1-5`"),
        (
            "1.5 * * * *",
            "1.5",
            "minute field: `1.5` is not understood: the field takes 0 to 59, `*`, ranges, steps and lists of them",
        ),
    ]);
}

#[test]
fn ranges() {
    check(&[
        (
            "0 0 10-5 * *",
            "10-5",
            "day-of-month field: `10-5` is a range that runs backwards: write `5-10`, or `10-31,1-5` for a range across the end",
        ),
        (
            "0 22-2 * * *",
            "22-2",
            "hour field: `22-2` is a range that runs backwards: write `2-22`, or `22-23,0-2` for a range across the end",
        ),
        ("0 0 * * 5-0", "5-0", "day-of-week field: `5-0` is a range that runs backwards: write `5-7`"),
        ("0 0 * * FRI-MON", "FRI-MON", "day-of-week field: `FRI-MON` is a range that runs backwards: write `5-7,1`"),
        (
            "0 0 0 1 1 * 2030-2027",
            "2030-2027",
            "year field: `2030-2027` is a range that runs backwards: write `2027-2030`",
        ),
        ("1- * * * *", "1-", "minute field: `1-` is half a range: write both ends, as in `1-5`"),
        ("0 0 1 -3 *", "-3", "month field: `-3` is half a range: write both ends, as in `APR-SEP`"),
        (
            "1-2-3 * * * *",
            "1-2-3",
            "minute field: `1-2-3` is not understood: the field takes 0 to 59, `*`, ranges, steps and lists of them",
        ),
        ("50-60 * * * *", "50-60", "minute field: `50-60` is out of range: the field takes 0 to 59"),
    ]);
}

#[test]
fn steps() {
    check(&[
        ("/30 * * * *", "/30", "minute field: `/30` has a step of nothing: write `*/30`"),
        ("/ * * * *", "/", "minute field: `/` has a step of nothing: write `*/5`"),
        ("0/15 * * * *", "0/15", "minute field: `0/15` has a step of a single value: write `0-59/15`"),
        ("0 0 10/10 * *", "10/10", "day-of-month field: `10/10` has a step of a single value: write `10-31/10`"),
        ("0 0 * * MON/2", "MON/2", "day-of-week field: `MON/2` has a step of a single value: write `MON-6/2`"),
        (
            "*/0 * * * *",
            "*/0",
            "minute field: `*/0` has a step that is not a whole number from 1: write one, as in `*/5`",
        ),
        ("*/ * * * *", "*/", "minute field: `*/` has a step that is not a whole number from 1: write one, as in `*/5`"),
        (
            "*/-5 * * * *",
            "*/-5",
            "minute field: `*/-5` has a step that is not a whole number from 1: write one, as in `*/5`",
        ),
        (
            "*/5/5 * * * *",
            "*/5/5",
            "minute field: `*/5/5` has a step that is not a whole number from 1: write one, as in `*/5`",
        ),
    ]);
}

#[test]
fn words() {
    check(&[
        (
            "0 0 * * MONDAY",
            "MONDAY",
            "day-of-week field: `MONDAY` is not a name or number of the field, which takes 0 to 7 or SUN to SAT",
        ),
        (
            "0 0 * JUX *",
            "JUX",
            "month field: `JUX` is not a name or number of the field, which takes 1 to 12 or JAN to DEC",
        ),
        (
            "0 0 * MON *",
            "MON",
            "month field: `MON` is not a name or number of the field, which takes 1 to 12 or JAN to DEC",
        ),
        (
            "0 0 * * JUL",
            "JUL",
            "day-of-week field: `JUL` is not a name or number of the field, which takes 0 to 7 or SUN to SAT",
        ),
        ("x * * * *", "x", "minute field: `x` is not a name or number of the field, which takes 0 to 59"),
        (
            "** * * * *",
            "**",
            "minute field: `**` is not understood: the field takes 0 to 59, `*`, ranges, steps and lists of them",
        ),
        ("0 0 l * *", "l", "day-of-month field: `l` is not a name or number of the field, which takes 1 to 31"),
    ]);
    assert_eq!(refusal("0 0 * * MONDAY").help().as_deref(), Some("names have three letters: `MON`"));
    assert_eq!(refusal("0 0 l * *").help().as_deref(), Some("L and W are written in capitals: `L`"));
    assert_eq!(refusal("0 24 * * *").help().as_deref(), Some("midnight is hour 0"));
}

#[test]
fn modifiers_out_of_place() {
    const LAST: &str = "is not a form of L: write";
    const NEAREST: &str = "is not a form of W: write one day alone, as in `15W`, or `LW`, in the day-of-month field";
    const NTH: &str = "is not a form of #: write a weekday and 1 to 5 or L, as in `MON#1`, in the day-of-week field";
    const PLUS: &str = "has a `+`, which may only start the day-of-week field: write it as in `+MON`";
    const MARK: &str = "has a `?`, which may only stand alone in the day-of-month or day-of-week field: write `*`";
    for (text, part, rest) in [
        ("0 0 1-15W * *", "1-15W", NEAREST.to_owned()),
        ("0 0 1W,15W * *", "1W", NEAREST.to_owned()),
        ("0 0 1,LW * *", "LW", NEAREST.to_owned()),
        ("0 0 W * *", "W", NEAREST.to_owned()),
        ("0 0 * * 5W", "5W", NEAREST.to_owned()),
        ("0 15W * * *", "15W", NEAREST.to_owned()),
        ("0 0 L-31 * *", "L-31", format!("{LAST} `L`, `L-1` to `L-30`, or `LW`")),
        ("0 0 L-0 * *", "L-0", format!("{LAST} `L`, `L-1` to `L-30`, or `LW`")),
        ("0 0 L5 * *", "L5", format!("{LAST} `L`, `L-1` to `L-30`, or `LW`")),
        (
            "0 L * * *",
            "L",
            format!("{LAST} it in the day-of-month field, or behind a weekday in the day-of-week field"),
        ),
        ("0 0 * * L", "L", format!("{LAST} a weekday in front, as in `5L` or `FRIL`, for the last one of the month")),
        ("0 0 * * 8L", "8L", format!("{LAST} a weekday in front, as in `5L` or `FRIL`, for the last one of the month")),
        ("0 0 * * MON#6", "MON#6", NTH.to_owned()),
        ("0 0 * * MON#0", "MON#0", NTH.to_owned()),
        ("0 0 * * #1", "#1", NTH.to_owned()),
        ("0 0 * * 1-5#2", "1-5#2", NTH.to_owned()),
        ("0 0 1#2 * *", "1#2", NTH.to_owned()),
        ("1#2 * * * *", "1#2", NTH.to_owned()),
        ("0 12 +1 * MON", "+1", PLUS.to_owned()),
        ("0 12 1 * MON,+TUE", "+TUE", PLUS.to_owned()),
        ("0 12 1 * ++MON", "+MON", PLUS.to_owned()),
        ("? 12 * * *", "?", MARK.to_owned()),
        ("0 12 ?,1 * *", "?", MARK.to_owned()),
        ("0 12 ?/2 * *", "?/2", MARK.to_owned()),
    ] {
        let error = refusal(text);
        let field = error.field().unwrap();
        assert_eq!(error.to_string(), format!("{field} field: `{part}` {rest}"), "{text}");
        assert_eq!(error.span().map(|s| &text[s]), Some(part), "{text}");
    }
    let saturday = refusal("0 0 ? * L").help().unwrap();
    assert!(saturday.contains("SAT"), "{saturday}");
}

#[test]
fn hashes() {
    for (text, part, message) in [
        ("0 0 0 1 1 * H", "H", "year field: `H` is not a form of H: write years as numbers: they cannot be hashed"),
        (
            "H() * * * *",
            "H()",
            "minute field: `H()` is not a form of H: write `H`, `H(0-59)`, or one of them with a step",
        ),
        (
            "H(5) * * * *",
            "H(5)",
            "minute field: `H(5)` is not a form of H: write `H`, `H(0-59)`, or one of them with a step",
        ),
        (
            "0 H(9-5) * * *",
            "H(9-5)",
            "hour field: `H(9-5)` is a range that runs backwards: write `5-9`, or `9-23,0-5` for a range across the end",
        ),
        ("H(0-60) * * * *", "H(0-60)", "minute field: `H(0-60)` is out of range: the field takes 0 to 59"),
        (
            "H/0 * * * *",
            "H/0",
            "minute field: `H/0` has a step that is not a whole number from 1: write one, as in `*/5`",
        ),
        (
            "0 0 * * Hx",
            "Hx",
            "day-of-week field: `Hx` is not a form of H: write `H`, `H(0-6)`, or one of them with a step",
        ),
    ] {
        check(&[(text, part, message)]);
    }
    let error = refusal("0 H * * *");
    assert_eq!(error.to_string(), "hour field: `H` needs a seed: H stands for a hash of tenant and job, so name both");
    assert_eq!((error.field(), error.span()), (Some(Field::Hour), Some(2..3)));
}

#[test]
fn the_number_of_fields() {
    const RIGHT: &str =
        "write five (minute hour day-of-month month day-of-week), six (seconds first) or seven (year last)";
    check(&[
        ("* * * *", "* * * *", &format!("the expression has 4 fields: {RIGHT}")),
        ("*", "*", &format!("the expression has 1 field: {RIGHT}")),
        (" 0 0 0 1 1 * 2027 x ", "0 0 0 1 1 * 2027 x", &format!("the expression has 8 fields: {RIGHT}")),
    ]);
    for text in ["", "   ", "\t"] {
        assert_eq!(refusal(text), CronError::Empty);
    }
    assert_eq!(
        CronError::Empty.to_string(),
        "the expression is empty: write five fields (minute hour day-of-month month day-of-week) or @daily"
    );
    let long = "1,".repeat(1000) + "1 * * * *";
    assert_eq!(refusal(&long), CronError::TooLong { length: long.len() });
}

#[test]
fn characters_that_look_right() {
    check(&[
        (
            "0\u{a0}0 * * *",
            "\u{a0}",
            "minute field: a no-break space (U+00A0) stands where it has no meaning: separate fields with spaces or tabs",
        ),
        (
            "0 0\u{a0}* * *",
            "\u{a0}",
            "hour field: a no-break space (U+00A0) stands where it has no meaning: separate fields with spaces or tabs",
        ),
        (
            "0 0 * *\u{a0}*",
            "\u{a0}",
            "month field: a no-break space (U+00A0) stands where it has no meaning: separate fields with spaces or tabs",
        ),
        (
            "0 0 * * *\n",
            "\n",
            "day-of-week field: a line feed (U+000A) stands where it has no meaning: separate fields with spaces or tabs",
        ),
        (
            "0\u{200b} 0 * * *",
            "\u{200b}",
            "minute field: a zero-width space (U+200B) stands where it has no meaning: separate fields with spaces or tabs",
        ),
        (
            "0 9\u{2013}17 * * *",
            "\u{2013}",
            "hour field: an en dash (U+2013) stands where it has no meaning: write ranges with `-`",
        ),
        (
            "0 0 * * é",
            "é",
            "day-of-week field: `é` (U+00E9) has no meaning in an expression: write digits, names, and the signs * , - / ? # + L W H",
        ),
        (
            "٣ * * * *",
            "٣",
            "minute field: `٣` (U+0663) has no meaning in an expression: write digits, names, and the signs * , - / ? # + L W H",
        ),
        (
            "0 \u{a0}",
            "\u{a0}",
            "field 1: a no-break space (U+00A0) stands where it has no meaning: separate fields with spaces or tabs",
        ),
    ]);
}

#[test]
fn nicknames() {
    const ALL: &str =
        "is not a nickname: there are @hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually";
    check(&[
        ("@Daily", "@Daily", &format!("`@Daily` {ALL}")),
        ("@fortnightly", "@fortnightly", &format!("`@fortnightly` {ALL}")),
        (" @daily 0 0 * * *", "@daily 0 0 * * *", &format!("`@daily 0 0 * * *` {ALL}")),
        ("@every 5m", "@every 5m", &format!("`@every 5m` {ALL}")),
        ("@", "@", &format!("`@` {ALL}")),
        (
            "@reboot",
            "@reboot",
            "`@reboot` names no time: a scheduler that runs on many hosts has no boot of its own to wait for",
        ),
    ]);
    assert_eq!(refusal("@Daily").help().as_deref(), Some("nicknames are written in lower case: `@daily`"));
    assert_eq!(refusal("@daily 0 0 * * *").help().as_deref(), Some("a nickname stands alone: write `@daily`"));
    assert!(refusal("@every 5m").help().unwrap().contains("every: 5m"));
}

#[test]
fn impossible_days() {
    const WHY: &str = "no month it names ever has a day that fits both day fields";
    const YEARS: &str = "none of the years it names has such a day";
    for (text, why) in [
        ("0 0 30 2 *", WHY),
        ("* * 31 2 *", WHY),
        ("0 0 31 4,6,9,11 *", WHY),
        ("0 0 31W 2 *", WHY),
        ("0 0 L-29 2 *", WHY),
        ("0 0 1 * +MON#2", WHY),
        ("0 0 29-31 * +MON#1", WHY),
        ("0 0 8 * +FRIL", WHY),
        ("0 0 0 29 2 * 2025-2027", YEARS),
        ("0 0 0 29 2 * 2025-9999/2", YEARS),
        ("0 0 0 29 2 * 2100", YEARS),
        ("0 0 0 29 2 +MON 2000-9999/400", YEARS),
    ] {
        assert_eq!(refusal(text).to_string(), format!("`{text}` never fires: {why}"));
    }
    // OR saves the first two: a restricted weekday comes by in any month.
    assert!(CronExpr::parse("0 0 30 2 MON").is_ok());
    assert_eq!(refusal("0 0 30 2 *").span(), Some(4..10));
}
