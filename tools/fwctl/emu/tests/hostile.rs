// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs the guests of the fuzz targets on deterministic noise. Nothing may panic.

use fwctl_emu::fault::Noise;
use serde_json::Value;

/// Number of guests, unless `FWCTL_EMU_GUESTS` is set.
const GUESTS: u64 = 3000;
/// Maximum number of bytes for a guest.
const MAX_LEN: u64 = 4096;

fn guests() -> u64 {
    let asked = std::env::var("FWCTL_EMU_GUESTS");
    asked.map_or(GUESTS, |guests| guests.parse().expect("a number"))
}

/// Returns the bytes for a guest.
fn guest(seed: u64) -> Vec<u8> {
    let mut noise = Noise(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let len = noise.number() % MAX_LEN;
    let mut bytes = vec![0; len as usize];
    noise.fill(&mut bytes);
    bytes
}

#[test]
fn connectx() {
    let guests = guests();
    let mut seen = [0; 7];
    for seed in 1..=guests {
        let mut bytes = guest(seed);
        // Most guests start with a driver that initialises the card.
        if let Some(first) = bytes.first_mut().filter(|_| seed % 4 != 0) {
            *first = 0;
        }
        let counters = fwctl_emu::mlx5::fuzz::run(&bytes);
        let count = |path: &str| {
            counters
                .pointer(path)
                .map_or(0, |count| count.as_u64().unwrap())
        };
        let counts = [
            count("/total"),
            count("/delivery_errors"),
            count("/faults_hit"),
            count("/uctx/created"),
            count("/events/posted") + count("/events/dma_errors"),
            count("/commands/CREATE_UMEM"),
            count("/dma/writes"),
        ];
        (seen.iter_mut().zip(counts)).for_each(|(sum, count)| *sum += count);
    }
    println!("commands, delivery errors, faults, uids, events, umems, writes: {seen:?}");
    // Check that commands were executed.
    let [commands, delivery_errors, faults, uids, events, umems, writes] = seen;
    assert!(
        commands > 10 * GUESTS && delivery_errors > guests,
        "{seen:?}"
    );
    assert!(
        faults > guests / 2 && uids > guests / 20 && events > 0 && umems > guests && writes > 0,
        "{seen:?}"
    );
}

#[test]
fn cxl() {
    let guests = guests();
    let mut seen = [0; 6];
    for seed in 1..=guests {
        let counters = fwctl_emu::cxl::fuzz::run(&guest(seed));
        let count = |path: &str| counters.pointer(path).and_then(Value::as_u64).unwrap();
        let counts = [
            count("/total"),
            count("/faults_hit"),
            count("/backgrounds"),
            count("/transfers/begun"),
            count("/transfers/finished"),
            count("/transfers/repeated"),
        ];
        (seen.iter_mut().zip(counts)).for_each(|(sum, count)| *sum += count);
    }
    println!("commands, faults, backgrounds, transfers begun, finished, parts repeated: {seen:?}");
    // Check that commands were executed.
    let [commands, faults, backgrounds, begun, finished, repeated] = seen;
    assert!(commands > 10 * guests && faults > guests, "{seen:?}");
    assert!(
        backgrounds > guests / 10 && begun > guests && finished > guests / 2 && repeated > 0,
        "{seen:?}"
    );
}
