//! Rows that statements return, as JSON.

use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use sqlx::postgres::{PgRow, PgValueFormat, PgValueRef};
use sqlx::sqlite::SqliteRow;
use sqlx::{Column as _, Row as _, TypeInfo as _, ValueRef as _};

/// PostgreSQL counts time from the year 2000.
const EPOCH: Timestamp = Timestamp::constant(946_684_800, 0);

/// A row, by the names of its columns; of two with the same name the last one counts.
pub(super) fn pg_row(row: &PgRow) -> Map<String, Value> {
    let value = |at| row.try_get_raw(at).map_or(Value::Null, |value| pg_value(&value));
    row.columns().iter().map(|column| (column.name().to_owned(), value(column.ordinal()))).collect()
}

fn pg_value(value: &PgValueRef<'_>) -> Value {
    if value.is_null() {
        return Value::Null;
    }
    let name = value.type_info().name().to_owned();
    let bytes = value.as_bytes().unwrap_or_default();
    let known = match value.format() {
        PgValueFormat::Binary => pg_binary(&name, bytes),
        PgValueFormat::Text => std::str::from_utf8(bytes).ok().map(Value::from),
    };
    known.unwrap_or_else(|| Value::from(format!("({name}; cast it to text to see it)")))
}

/// The binary formats are those of each type's `send` function, all in network byte order.
fn pg_binary(name: &str, bytes: &[u8]) -> Option<Value> {
    Some(match name {
        "BOOL" => Value::from(*bytes.first()? != 0),
        "INT2" => Value::from(i16::from_be_bytes(bytes.try_into().ok()?)),
        "INT4" => Value::from(i32::from_be_bytes(bytes.try_into().ok()?)),
        "INT8" => Value::from(i64::from_be_bytes(bytes.try_into().ok()?)),
        "OID" => Value::from(u32::from_be_bytes(bytes.try_into().ok()?)),
        "FLOAT4" => Value::from(f32::from_be_bytes(bytes.try_into().ok()?)),
        "FLOAT8" => Value::from(f64::from_be_bytes(bytes.try_into().ok()?)),
        "NUMERIC" => numeric(bytes)?,
        "UUID" => Value::from(uuid::Uuid::from_slice(bytes).ok()?.to_string()),
        "JSON" => serde_json::from_slice(bytes).ok()?,
        "JSONB" => serde_json::from_slice(bytes.get(1..)?).ok()?,
        "TIMESTAMPTZ" => Value::from(instant(bytes)?.to_string()),
        "TIMESTAMP" => Value::from(civil(instant(bytes)?).to_string()),
        "DATE" => {
            let days = i32::from_be_bytes(bytes.try_into().ok()?);
            let at = EPOCH.checked_add(SignedDuration::from_hours(24 * i64::from(days))).ok()?;
            Value::from(civil(at).date().to_string())
        }
        "TEXT" | "VARCHAR" | "CHAR" | "NAME" | "UNKNOWN" | "citext" | "\"CHAR\"" => {
            Value::from(std::str::from_utf8(bytes).ok()?)
        }
        _ => return None,
    })
}

fn instant(bytes: &[u8]) -> Option<Timestamp> {
    let us = i64::from_be_bytes(bytes.try_into().ok()?);
    EPOCH.checked_add(SignedDuration::from_micros(us)).ok() // not so for infinity
}

fn civil(at: Timestamp) -> DateTime {
    jiff::tz::Offset::UTC.to_datetime(at)
}

/// A decimal number: how many digits to the base of 10,000, the weight of the first, the sign, how many decimal digits
/// follow the point, and the digits. A whole number of 64 bits is a number, everything else is text, which loses nothing.
fn numeric(bytes: &[u8]) -> Option<Value> {
    let mut words = bytes.chunks_exact(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]]));
    let (count, weight, sign, scale) = (words.next()?, words.next()?, words.next()? as u16, words.next()?);
    let digits: Vec<i16> = words.take(usize::try_from(count).ok()?).collect();
    match sign {
        0x0000 | 0x4000 => {}
        0xD000 => return Some(Value::from("Infinity")),
        0xF000 => return Some(Value::from("-Infinity")),
        _ => return Some(Value::from("NaN")),
    }
    let digit =
        |place: i32| usize::try_from(i32::from(weight) - place).ok().and_then(|at| digits.get(at)).unwrap_or(&0);
    let mut text = String::new();
    for place in (0..=i32::from(weight).max(0)).rev() {
        text.push_str(&format!("{:04}", digit(place)));
    }
    let whole = text.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let mut out = format!("{}{whole}", if sign == 0x4000 { "-" } else { "" });
    if scale > 0 {
        let mut fraction = String::new();
        let mut place = -1;
        while fraction.len() < usize::try_from(scale).ok()? {
            fraction.push_str(&format!("{:04}", digit(place)));
            place -= 1;
        }
        fraction.truncate(usize::try_from(scale).ok()?);
        out.push('.');
        out.push_str(&fraction);
    }
    Some(out.parse::<i64>().map_or_else(|_| Value::from(out.clone()), Value::from))
}

/// A row, by the names of its columns; of two with the same name the last one counts.
pub(super) fn sqlite_row(row: &SqliteRow) -> Map<String, Value> {
    row.columns()
        .iter()
        .map(|column| (column.name().to_owned(), sqlite_value(row, column.ordinal()).unwrap_or(Value::Null)))
        .collect()
}

fn sqlite_value(row: &SqliteRow, at: usize) -> Result<Value, sqlx::Error> {
    let raw = row.try_get_raw(at)?;
    // The type of the value, not of the column.
    Ok(match raw.type_info().name() {
        "NULL" => Value::Null,
        "INTEGER" | "BOOLEAN" => Value::from(row.try_get_unchecked::<i64, _>(at)?),
        "REAL" => Value::from(row.try_get_unchecked::<f64, _>(at)?),
        "BLOB" => Value::from("(BLOB; use hex() to see it)"),
        _ => Value::from(row.try_get_unchecked::<String, _>(at)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `numeric_send` writes it.
    fn sent(weight: i16, sign: u16, scale: i16, digits: &[i16]) -> Vec<u8> {
        let count = i16::try_from(digits.len()).unwrap_or(i16::MAX);
        let head = [count.to_be_bytes(), weight.to_be_bytes(), sign.to_be_bytes(), scale.to_be_bytes()];
        head.into_iter().chain(digits.iter().map(|digit| digit.to_be_bytes())).flatten().collect()
    }

    #[test]
    fn decimal_numbers_lose_nothing() {
        for (bytes, out) in [
            (sent(0, 0, 0, &[]), Value::from(0)),
            (sent(0, 0, 0, &[42]), Value::from(42)),
            (sent(1, 0, 0, &[1]), Value::from(10_000)),
            (sent(1, 0x4000, 0, &[123, 4567]), Value::from(-1_234_567)),
            (sent(0, 0, 2, &[12, 3400]), Value::from("12.34")),
            (sent(-1, 0, 4, &[5]), Value::from("0.0005")),
            (sent(-2, 0, 6, &[100]), Value::from("0.000001")),
            (sent(5, 0, 0, &[1]), Value::from("100000000000000000000")),
            (sent(0, 0, 3, &[]), Value::from("0.000")),
            (sent(0, 0xC000, 0, &[]), Value::from("NaN")),
        ] {
            assert_eq!(numeric(&bytes), Some(out), "{bytes:?}");
        }
        assert_eq!(numeric(&[0, 1]), None);
    }

    #[test]
    fn what_is_not_known_is_said() {
        assert_eq!(pg_binary("INET", &[1, 2]), None);
        assert_eq!(pg_binary("INT4", &[1, 2]), None);
        assert_eq!(pg_binary("TIMESTAMPTZ", &i64::MAX.to_be_bytes()), None, "infinity");
        assert_eq!(pg_binary("DATE", &1i32.to_be_bytes()), Some(Value::from("2000-01-02")));
        assert_eq!(pg_binary("TIMESTAMP", &1_000_000i64.to_be_bytes()), Some(Value::from("2000-01-01T00:00:01")));
    }
}
