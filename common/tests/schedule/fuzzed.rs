//! The laws of `laws` for many inputs: valid texts, texts that are nearly valid, and noise. The same ones every time.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::laws;
use crate::model::{Spec, spec};

/// In each of the parts, which run side by side.
const INPUTS: usize = 12_500;

/// Valid texts with what the model of an expression leaves out, and the other things that are written as text.
const SAMPLES: [&str; 24] = [
    "@daily",
    "@annually",
    "H H(1-5) * * *",
    "H/15 * * * *",
    "H(0-29)/10 H H H H",
    "0 0 0 29 2 +TUE 2000-9999/400",
    "*/10 * * * * * 2027-2030",
    "0 0 ? * MON#2,FRIL",
    "0 12 LW JAN-JUN ?",
    "30 2 8-14 3 +SUN",
    "59 23 31 12 *",
    "0 0 * * FRI-SUN",
    "22:00-04:00",
    "00:00-24:00",
    "02:10-02:50",
    "2026-03-08T02:30",
    "2011-12-30",
    "2026-12-01T09:00:00+05:30",
    "9999-12-31T23:59:59",
    "mon-fri",
    "sat,Sunday",
    "Europe/Berlin",
    "us/eastern",
    "Etc/GMT-14",
];

/// Pieces that mean something somewhere.
const PIECES: [&str; 32] = [
    "*",
    "?",
    "L",
    "LW",
    "L-3",
    "15W",
    "MON#5",
    "FRI#L",
    "5L",
    "H",
    "H(1-5)",
    "/",
    "-",
    ",",
    "+",
    "#",
    "@",
    " ",
    "\t",
    "\u{a0}",
    "\u{2013}",
    "0",
    "60",
    "99999999999999999999",
    "1-5/2",
    "SUN",
    "dec",
    "é",
    ":",
    "T",
    "Z",
    "2099",
];

/// The input after the last one.
fn input(valid: &impl Strategy<Value = Spec>, runner: &mut TestRunner) -> Vec<u8> {
    let mut data: Vec<u8> = std::iter::repeat_with(|| runner.rng().random()).take(laws::HEAD).collect();
    let mut text = match runner.rng().random_range(0..10) {
        0..6 => valid.new_tree(runner).unwrap().current().text().into_bytes(),
        6..8 => SAMPLES[runner.rng().random_range(0..SAMPLES.len())].as_bytes().to_vec(),
        _ => noise(runner.rng()),
    };
    for _ in 0..runner.rng().random_range(0..4_usize) {
        mutate(&mut text, runner.rng());
    }
    data.extend(text);
    data
}

fn noise(rng: &mut TestRng) -> Vec<u8> {
    let length = rng.random_range(0..40);
    match rng.random_range(0..3) {
        0 => std::iter::repeat_with(|| rng.random()).take(length).collect(),
        1 => std::iter::repeat_with(|| rng.random_range(b' '..=b'~')).take(length).collect(),
        _ => (0..length / 3).map(|_| PIECES[rng.random_range(0..PIECES.len())]).collect::<String>().into_bytes(),
    }
}

/// One slip of the hand.
fn mutate(text: &mut Vec<u8>, rng: &mut TestRng) {
    let at = rng.random_range(0..=text.len());
    let piece = PIECES[rng.random_range(0..PIECES.len())].bytes();
    match rng.random_range(0..9) {
        0 => drop(text.splice(at..at, piece)),
        1 if at < text.len() => drop(text.splice(at..=at, piece)),
        2 if at < text.len() => drop(text.remove(at)),
        3 => text.truncate(at),
        4 => drop(text.splice(at..at, rng.random_range(0..100_u8).to_string().into_bytes())),
        5 if at < text.len() => text[at] ^= 1 << rng.random_range(0..8),
        6 => text.extend_from_within(at..),
        7 => swap_fields(text, rng),
        _ => replace_field(text, rng),
    }
}

fn swap_fields(text: &mut Vec<u8>, rng: &mut TestRng) {
    let mut fields: Vec<&[u8]> = text.split(|byte| *byte == b' ').collect();
    let (a, b) = (rng.random_range(0..fields.len()), rng.random_range(0..fields.len()));
    fields.swap(a, b);
    *text = fields.join(&b' ');
}

fn replace_field(text: &mut Vec<u8>, rng: &mut TestRng) {
    let mut fields: Vec<&[u8]> = text.split(|byte| *byte == b' ').collect();
    let field = rng.random_range(0..fields.len());
    fields[field] = PIECES[rng.random_range(0..PIECES.len())].as_bytes();
    *text = fields.join(&b' ');
}

/// Runs one part. Fails with the input that broke a law, as a fuzzer would write it into a file.
fn part(seed: u8) {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let (valid, mut read) = (spec(), 0);
    for _ in 0..INPUTS {
        let data = input(&valid, &mut runner);
        match std::panic::catch_unwind(|| laws::hold(&data)) {
            Ok(was_read) => read += usize::from(was_read),
            Err(_) => panic!("an input breaks a law: b\"{}\"", data.escape_ascii()),
        }
    }
    assert!((INPUTS / 5..INPUTS * 4 / 5).contains(&read), "{read} of {INPUTS} were read: both sides need many");
}

#[test]
fn fuzzed_inputs_keep_the_laws_part_1() {
    part(1);
}

#[test]
fn fuzzed_inputs_keep_the_laws_part_2() {
    part(2);
}

#[test]
fn fuzzed_inputs_keep_the_laws_part_3() {
    part(3);
}

#[test]
fn fuzzed_inputs_keep_the_laws_part_4() {
    part(4);
}

#[test]
fn inputs_that_are_too_short_have_no_text() {
    assert!(!laws::hold(&[]));
    assert!(!laws::hold(&[0; laws::HEAD]));
    assert!(laws::hold(&[&[0; laws::HEAD][..], b"@daily"].concat()));
}
