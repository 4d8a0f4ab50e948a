// SPDX-License-Identifier: MIT OR Apache-2.0

//! What setting a feature does: the effects word of its entry (CXL 3.2, table 8-87).

use fwctl_uapi::cxl::effects;

/// One effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Effect {
    /// Its bit.
    pub mask: u16,
    /// Its name in outputs that programs read.
    pub name: &'static str,
    /// Its name in words.
    pub words: &'static str,
}

const fn effect(mask: u16, name: &'static str, words: &'static str) -> Effect {
    Effect { mask, name, words }
}

const EFFECTS: [Effect; 12] = [
    effect(
        effects::CONFIG_CHANGE_COLD_RESET,
        "config-cold-reset",
        "configuration after cold reset",
    ),
    effect(
        effects::CONFIG_CHANGE_IMMEDIATE,
        "config-immediate",
        "configuration at once",
    ),
    effect(
        effects::DATA_CHANGE_IMMEDIATE,
        "data-immediate",
        "data at once",
    ),
    effect(
        effects::POLICY_CHANGE_IMMEDIATE,
        "policy-immediate",
        "policy at once",
    ),
    effect(
        effects::LOG_CHANGE_IMMEDIATE,
        "log-immediate",
        "logs at once",
    ),
    effect(
        effects::SECURITY_STATE_CHANGE,
        "security-state",
        "security state",
    ),
    effect(effects::BACKGROUND, "background", "in the background"),
    effect(
        effects::SECONDARY_MAILBOX,
        "secondary-mailbox",
        "also on the secondary mailbox",
    ),
    effect(
        effects::BACKGROUND_ABORT,
        "background-abort",
        "can be aborted",
    ),
    effect(
        effects::CONFIG_CHANGE_CONVENTIONAL_RESET,
        "config-conventional-reset",
        "configuration after conventional reset",
    ),
    effect(
        effects::CONFIG_CHANGE_CXL_RESET,
        "config-cxl-reset",
        "configuration after CXL reset",
    ),
    effect(effects::RESERVED, "reserved", "reserved bits"),
];

/// Effects that change something while the command runs.
pub(super) const IMMEDIATE: u16 = effects::CONFIG_CHANGE_IMMEDIATE
    | effects::DATA_CHANGE_IMMEDIATE
    | effects::POLICY_CHANGE_IMMEDIATE
    | effects::LOG_CHANGE_IMMEDIATE
    | effects::SECURITY_STATE_CHANGE;

/// Effects that count only with [`effects::EFFECTS_VALID`].
const QUALIFIED: u16 = effects::CONFIG_CHANGE_CONVENTIONAL_RESET | effects::CONFIG_CHANGE_CXL_RESET;

/// Effects that change something at the next reset.
pub(super) const AFTER_RESET: u16 = effects::CONFIG_CHANGE_COLD_RESET | QUALIFIED;

/// A word without the bits that mean nothing in it.
pub(super) fn valid(word: u16) -> u16 {
    match word & effects::EFFECTS_VALID {
        0 => word & !QUALIFIED,
        _ => word,
    }
}

/// The effects in a word, lowest bit first. Bit 9 says something about the word, not about the
/// feature: without it, bits 10 and 11 are no effects.
pub fn effect_names(word: u16) -> Vec<Effect> {
    let word = valid(word);
    EFFECTS
        .into_iter()
        .filter(|effect| word & effect.mask != 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_have_one_name_each() {
        let names = |word| {
            effect_names(word)
                .iter()
                .map(|effect| effect.name)
                .collect::<Vec<_>>()
        };
        assert_eq!(names(0), [""; 0]);
        assert_eq!(names(0x0203), ["config-cold-reset", "config-immediate"]);
        assert_eq!(names(0x8000), ["reserved"]);
        assert_eq!(names(0x0180), ["secondary-mailbox", "background-abort"]);
        assert_eq!(names(0x0c01), ["config-cold-reset"]);
        assert_eq!(names(0x0a00), ["config-cxl-reset"]);
        assert_eq!(names(0xffff).len(), EFFECTS.len());
        assert_eq!(
            EFFECTS.iter().fold(0, |all, effect| all ^ effect.mask),
            0xfdff
        );
    }
}
