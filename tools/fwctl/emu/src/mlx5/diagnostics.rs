// SPDX-License-Identifier: MIT OR Apache-2.0

//! Diagnostic counters: which of them are sampled, and the samples.
//!
//! Counters advance at a constant rate. The clock by which they are sampled advances by one period
//! with each sample, so samples do not depend on the time at which they are read.

use super::fields::diagnostics as layout;
use super::refusal::{Refusal, Status, Syndrome};
use std::collections::VecDeque;

/// The counters: identifier, advance in 1024 clocks, and whether they can be sampled together.
/// Identifiers are those of real devices.
const COUNTERS: [(u16, u64, bool); 5] = [
    (0x0401, 3, true),
    (0x0402, 17, true),
    (0x0403, 5, true),
    (0x0406, 250, true),
    (0x1001, 80, false),
];
/// Maximum number of samples of a counter, and minimum of the period, as powers of two.
const LOG_MAX_SAMPLES: u8 = 8;
const LOG_MIN_PERIOD: u8 = 10;
/// Maximum of the period: the clock has 64 bits.
const LOG_MAX_PERIOD: u8 = 40;

/// Writes the counters into the debug capability.
pub fn announce(capability: &mut [u8]) {
    for (field, value) in [
        (layout::NUM_OF_COUNTERS, COUNTERS.len() as u64),
        (layout::LOG_NUM_OF_SAMPLES, LOG_MAX_SAMPLES.into()),
        (layout::SINGLE, 1),
        (layout::REPETITIVE, 1),
        (layout::SYNC, 1),
        (layout::CLEAR, 1),
        (layout::ON_DEMAND, 1),
        (layout::LOG_SAMPLE_PERIOD, LOG_MIN_PERIOD.into()),
    ] {
        field.set(capability, value);
    }
    let entries = capability[layout::CAP_COUNTERS..].chunks_exact_mut(layout::COUNTER_LEN);
    for (entry, (id, _, sync)) in entries.zip(COUNTERS) {
        layout::COUNTER_ID.set(entry, id.into());
        layout::CAP_SYNC.set(entry, sync.into());
    }
}

/// What is sampled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Params {
    log_samples: u8,
    log_period: u8,
    is_single: bool,
    is_repetitive: bool,
    is_sync: bool,
    is_clear: bool,
    is_on_demand: bool,
    is_enabled: bool,
    counters: Vec<u16>,
}

/// One sample of all counters.
#[derive(Clone, Debug)]
struct Sample {
    index: u16,
    clock: u64,
    values: Vec<u64>,
}

/// The sampler.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    params: Params,
    clock: u64,
    next: u16,
    samples: VecDeque<Sample>,
}

impl Diagnostics {
    /// SET_DIAGNOSTIC_PARAMS.
    pub fn set(&mut self, params: &[u8]) -> Result<(), Refusal> {
        let count = layout::NUM_OF_COUNTERS.get(params) as usize;
        let entries = params.get(layout::COUNTERS..).unwrap_or_default();
        if entries.len() < layout::COUNTER_LEN * count {
            return Err(Refusal(Status::BAD_IN_LEN, Syndrome::SHORT_INPUT));
        }
        let params = Params {
            log_samples: layout::LOG_NUM_OF_SAMPLES.get(params) as u8,
            log_period: layout::LOG_SAMPLE_PERIOD.get(params) as u8,
            is_single: layout::SINGLE.is_set(params),
            is_repetitive: layout::REPETITIVE.is_set(params),
            is_sync: layout::SYNC.is_set(params),
            is_clear: layout::CLEAR.is_set(params),
            is_on_demand: layout::ON_DEMAND.is_set(params),
            is_enabled: layout::ENABLE.is_set(params),
            counters: entries
                .chunks_exact(layout::COUNTER_LEN)
                .take(count)
                .map(|entry| layout::COUNTER_ID.get(entry) as u16)
                .collect(),
        };
        params.check()?;
        *self = Diagnostics {
            params,
            clock: self.clock,
            ..Diagnostics::default()
        };
        if self.params.is_single || self.params.is_repetitive {
            (0..1 << self.params.log_samples).for_each(|_| self.sample());
        }
        Ok(())
    }

    /// QUERY_DIAGNOSTIC_PARAMS: returns the answer.
    pub fn query(&self) -> Vec<u8> {
        let counters = &self.params.counters;
        let len = layout::PARAMS + layout::COUNTERS + layout::COUNTER_LEN * counters.len();
        let mut answer = vec![0; len];
        let context = &mut answer[layout::PARAMS..];
        for (field, value) in [
            (layout::NUM_OF_COUNTERS, counters.len() as u64),
            (layout::LOG_NUM_OF_SAMPLES, self.params.log_samples.into()),
            (layout::LOG_SAMPLE_PERIOD, self.params.log_period.into()),
            (layout::SINGLE, self.params.is_single.into()),
            (layout::REPETITIVE, self.params.is_repetitive.into()),
            (layout::SYNC, self.params.is_sync.into()),
            (layout::CLEAR, self.params.is_clear.into()),
            (layout::ON_DEMAND, self.params.is_on_demand.into()),
            (layout::ENABLE, self.params.is_enabled.into()),
        ] {
            field.set(context, value);
        }
        let entries = context[layout::COUNTERS..].chunks_exact_mut(layout::COUNTER_LEN);
        for (entry, id) in entries.zip(counters) {
            layout::COUNTER_ID.set(entry, (*id).into());
        }
        answer
    }

    /// QUERY_DIAGNOSTIC_COUNTERS: returns the answer, with `count` samples from `first` on, of each
    /// counter. Missing samples are left empty.
    pub fn read(&mut self, count: u16, first: u16) -> Result<Vec<u8>, Refusal> {
        if usize::from(count) > 1 << LOG_MAX_SAMPLES {
            return Err(Refusal(Status::BAD_PARAM, Syndrome::BAD_SIZE));
        }
        if self.params.is_enabled && !self.params.is_single {
            self.sample();
        }
        let counters = &self.params.counters;
        let len = layout::SAMPLE_LEN * usize::from(count) * counters.len();
        let mut answer = vec![0; layout::SAMPLES + len];
        let samples = self
            .samples
            .iter()
            .skip(first.into())
            .take(count.into())
            .flat_map(|sample| {
                let values = counters.iter().zip(&sample.values);
                values.map(move |(id, value)| (sample, *id, *value))
            });
        let entries = answer[layout::SAMPLES..].chunks_exact_mut(layout::SAMPLE_LEN);
        for (entry, (sample, id, value)) in entries.zip(samples) {
            layout::SAMPLE_COUNTER.set(entry, id.into());
            layout::SAMPLE_INDEX.set(entry, sample.index.into());
            layout::SAMPLE_TIME.set(entry, sample.clock & 0xffff_ffff);
            layout::SAMPLE_VALUE.set(entry, value);
        }
        Ok(answer)
    }

    /// Takes a sample of all counters. The oldest one is lost if there are too many.
    fn sample(&mut self) {
        if !self.params.is_enabled {
            return;
        }
        let period = 1u64 << self.params.log_period;
        self.clock = self.clock.wrapping_add(period);
        let clocks = if self.params.is_clear {
            period
        } else {
            self.clock
        };
        let value = |id: &u16| {
            let rate = COUNTERS.iter().find(|counter| counter.0 == *id);
            rate.map_or(0, |(_, rate, _)| (clocks >> 10).wrapping_mul(*rate))
        };
        if self.samples.len() >= 1 << self.params.log_samples {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample {
            index: self.next,
            clock: self.clock,
            values: self.params.counters.iter().map(value).collect(),
        });
        self.next = self.next.wrapping_add(1);
    }
}

impl Params {
    fn check(&self) -> Result<(), Refusal> {
        let bad = |syndrome| Err(Refusal(Status::BAD_PARAM, syndrome));
        for (at, id) in self.counters.iter().enumerate() {
            let Some((_, _, can_sync)) = COUNTERS.iter().find(|counter| counter.0 == *id) else {
                return bad(Syndrome::BAD_INDEX);
            };
            if self.counters[..at].contains(id) {
                return bad(Syndrome::BAD_INDEX);
            }
            if self.is_sync && !can_sync {
                return bad(Syndrome::BAD_VALUE);
            }
        }
        if !self.is_enabled {
            return Ok(());
        }
        let modes = [self.is_single, self.is_repetitive, self.is_on_demand];
        if self.counters.is_empty() || modes.iter().filter(|mode| **mode).count() != 1 {
            return bad(Syndrome::BAD_VALUE);
        }
        let periods = LOG_MIN_PERIOD..=LOG_MAX_PERIOD;
        // Without a period only the samples that are asked for can be taken.
        let is_period = self.is_on_demand || periods.contains(&self.log_period);
        if self.log_samples > LOG_MAX_SAMPLES || !is_period || self.log_period > LOG_MAX_PERIOD {
            return bad(Syndrome::BAD_SIZE);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two samples at a period of 2^10 clocks, enabled; `flags` is the byte of the modes.
    fn params(flags: u8, counters: &[u16]) -> Vec<u8> {
        let mut params = vec![0, counters.len() as u8, 0, 1, flags | 4, 0, 0, 10];
        params.extend([0; 16]);
        for id in counters {
            params.extend([0, 0]);
            params.extend(id.to_be_bytes());
        }
        params
    }

    #[test]
    fn golden_capability() {
        let mut page = vec![0; 0x1000];
        announce(&mut page);
        assert_eq!(page[..8], [0, 5, 0, 8, 0xf8, 0, 0, 10]);
        assert_eq!(page[0x40..0x48], [0x80, 0, 4, 1, 0x80, 0, 4, 2]);
        assert_eq!(page[0x50..0x58], [0, 0, 0x10, 1, 0, 0, 0, 0]);
    }

    #[test]
    fn parameters_are_kept() {
        let mut diagnostics = Diagnostics::default();
        assert_eq!(diagnostics.query(), vec![0; 32]);
        // Repetitive, in step, cleared by each sample.
        let set = params(0x70, &[0x402, 0x406]);
        diagnostics.set(&set).unwrap();
        assert_eq!(diagnostics.query()[8..], set);
        // Without enable, anything ends.
        diagnostics.set(&[0; 24]).unwrap();
        assert_eq!(diagnostics.query(), vec![0; 32]);
        assert_eq!(diagnostics.read(1, 0).unwrap(), [0; 16]);
    }

    #[test]
    fn golden_samples() {
        let mut diagnostics = Diagnostics::default();
        diagnostics.set(&params(0x80, &[0x402, 0x1001])).unwrap();
        let answer = diagnostics.read(2, 1).unwrap();
        assert_eq!(answer.len(), 16 + 4 * 16);
        assert_eq!(
            answer[16..48],
            [
                4, 2, 0, 1, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 34, //
                0x10, 1, 0, 1, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 160
            ]
        );
        assert_eq!(answer[48..], [0; 32], "there is no third sample");
        assert_eq!(diagnostics.read(2, 1).unwrap(), answer, "taken once");
    }

    #[test]
    fn repeated_samples_go_on() {
        for (flags, first, value) in [(0x40, 1, 34), (0x50, 1, 17), (0x08, 0, 17)] {
            let mut diagnostics = Diagnostics::default();
            diagnostics.set(&params(flags, &[0x402])).unwrap();
            let index = |answer: &[u8]| answer[19];
            let answer = diagnostics.read(1, 0).unwrap();
            assert_eq!((index(&answer), answer[31]), (first, value), "{flags:#x}");
            for _ in 0..2 {
                diagnostics.read(1, 0).unwrap();
            }
            let after = index(&diagnostics.read(1, 0).unwrap());
            assert!(after > first && diagnostics.samples.len() <= 2);
        }
    }

    #[test]
    fn parameters_that_are_refused() {
        let refused = |params: &[u8]| Diagnostics::default().set(params).unwrap_err().1;
        assert_eq!(refused(&params(0x80, &[0x9999])), Syndrome::BAD_INDEX);
        assert_eq!(refused(&params(0x80, &[0x401, 0x401])), Syndrome::BAD_INDEX);
        assert_eq!(refused(&params(0xa0, &[0x1001])), Syndrome::BAD_VALUE);
        assert_eq!(refused(&params(0xc0, &[0x401])), Syndrome::BAD_VALUE);
        assert_eq!(refused(&params(0x00, &[0x401])), Syndrome::BAD_VALUE);
        assert_eq!(refused(&params(0x80, &[])), Syndrome::BAD_VALUE);
        let mut set = params(0x80, &[0x401]);
        for (at, value) in [(3, 9), (7, 9), (7, 41)] {
            let mut bad = set.clone();
            bad[at] = value;
            assert_eq!(refused(&bad), Syndrome::BAD_SIZE);
        }
        set.truncate(27);
        assert_eq!(refused(&set), Syndrome::SHORT_INPUT);
        assert!(Diagnostics::default().read(257, 0).is_err());
    }
}
