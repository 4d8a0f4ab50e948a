// SPDX-License-Identifier: MIT OR Apache-2.0

//! The guest's kernel log: lines, levels, and the complaints that fail a test.
//!
//! The kernel boots with `console_msg_format=syslog`, so a line reads `<4>[    1.234567] text`.

/// One line of the kernel log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Syslog level, 0 (emergency) to 7 (debug), where the line says it.
    pub level: Option<u8>,
    /// The line was written by a program (through /dev/kmsg), not by the kernel.
    pub from_user: bool,
    /// Text without level and time, with its own leading spaces.
    pub text: String,
}

impl Line {
    /// Takes a line of the console apart.
    pub fn parse(raw: &str) -> Line {
        let mut line = Line::default();
        let mut rest = raw;
        if let Some((number, after)) = rest.strip_prefix('<').and_then(|r| r.split_once('>')) {
            if let Ok(number) = number.parse::<u32>() {
                line.level = Some((number & 7) as u8);
                line.from_user = number >> 3 != 0;
                rest = after;
            }
        }
        // `[    1.234567]`, with CONFIG_PRINTK_CALLER followed by `[    T1]`.
        for _ in 0..2 {
            let Some((stamp, after)) = rest.strip_prefix('[').and_then(|r| r.split_once(']'))
            else {
                break;
            };
            let stamp = stamp.trim_start();
            let is_time =
                !stamp.is_empty() && stamp.bytes().all(|b| b.is_ascii_digit() || b == b'.');
            let is_caller = stamp.len() > 1
                && stamp.starts_with(['T', 'C'])
                && stamp[1..].bytes().all(|b| b.is_ascii_digit());
            if !is_time && !is_caller {
                break;
            }
            rest = after.strip_prefix(' ').unwrap_or(after);
        }
        line.text = rest.to_string();
        line
    }

    /// Whether someone who watches the machine wants to see this line: a warning or worse.
    pub fn is_warning(&self) -> bool {
        !self.from_user && self.level.is_some_and(|level| level <= 4)
    }
}

/// Cuts the console's bytes into lines.
#[derive(Default)]
pub struct Splitter {
    partial: Vec<u8>,
}

impl Splitter {
    /// Lines that these bytes complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Line> {
        /// A line without end is cut here.
        const MAX_LINE: usize = 64 << 10;
        let mut lines = Vec::new();
        for &byte in bytes {
            if byte == b'\n' || self.partial.len() >= MAX_LINE {
                lines.extend(self.finish());
            }
            if byte != b'\n' {
                self.partial.push(byte);
            }
        }
        lines
    }

    /// What is left when the console closes in the middle of a line.
    pub fn finish(&mut self) -> Option<Line> {
        let bytes = std::mem::take(&mut self.partial);
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_end_matches('\r');
        (!text.is_empty()).then(|| Line::parse(text))
    }
}

/// Something in the kernel log that no test may cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// What it is about, in a word or two.
    pub kind: &'static str,
    /// The line that says so.
    pub line: String,
    /// A part of a report, quoted only when nothing says more.
    pub is_detail: bool,
}

/// Where in a line a pattern counts.
#[derive(Clone, Copy)]
enum At {
    Start,
    Anywhere,
}
use At::{Anywhere, Start};

/// What the kernel writes when it found something wrong, most telling first.
const PATTERNS: &[(At, &str, &str)] = &[
    (Anywhere, "possible circular locking", "lockdep"),
    (Anywhere, "possible recursive locking", "lockdep"),
    (Anywhere, "lock inversion dependency detected", "lockdep"),
    (Anywhere, "inconsistent lock state", "lockdep"),
    (Anywhere, "suspicious RCU usage", "RCU"),
    (Anywhere, "bad unlock balance detected", "lockdep"),
    (Anywhere, "held lock freed!", "lockdep"),
    (
        Anywhere,
        "lock held when returning to user space",
        "lockdep",
    ),
    (Anywhere, "still has locks held", "lockdep"),
    (Start, "[ BUG: ", "lockdep"),
    (Start, "INFO: trying to register non-static key", "lockdep"),
    (Anywhere, "KASAN: ", "KASAN"),
    (Start, "UBSAN: ", "UBSAN"),
    (Anywhere, "KCSAN: ", "KCSAN"),
    (Anywhere, "KFENCE: ", "KFENCE"),
    (Anywhere, "scheduling while atomic", "atomic sleep"),
    (
        Anywhere,
        "sleeping function called from invalid context",
        "atomic sleep",
    ),
    (Start, "Voluntary context switch within RCU", "RCU"),
    (Anywhere, "BUG: soft lockup", "lockup"),
    (Anywhere, "BUG: workqueue lockup", "lockup"),
    (Anywhere, "hard LOCKUP", "lockup"),
    (Anywhere, "detected stalls on CPUs/tasks", "RCU stall"),
    (Anywhere, "self-detected stall on CPU", "RCU stall"),
    (Anywhere, "detected expedited stalls", "RCU stall"),
    (Anywhere, "detected stalls on tasks", "RCU stall"),
    (Start, "INFO: task ", "hung task"),
    (Start, "rust_kernel: panicked at", "Rust panic"),
    (Start, "kernel BUG at ", "BUG"),
    (Start, "BUG: ", "BUG"),
    (Start, "BUG ", "slab"),
    (Start, "ODEBUG: ", "debug objects"),
    (Anywhere, "new suspected memory leaks", "kmemleak"),
    (Start, "unreferenced object ", "kmemleak"),
    (Start, "WARNING: ", "WARNING"),
    (Start, "Oops: ", "Oops"),
    (Start, "Oops[", "Oops"),
    // arm64's.
    (Start, "Internal error: ", "Oops"),
    (Start, "Unable to handle kernel ", "Oops"),
    (Start, "Kernel panic - not syncing", "panic"),
];

/// The line before a report.
const CUT: &str = "------------[ cut here ]------------";

/// Parts of a report. The second is arm64's.
const DETAILS: &[&str] = &["Call Trace:", "Call trace:", CUT];

/// Modules of mainline whose races with their device are not looked into.
const RACING_WITH_DEVICES: &[&str] = &[
    // The device writes an event while the driver looks whether there is one.
    "[mlx5_core]",
];

/// Other races of mainline that are not looked into, by their titles.
const KNOWN_RACES: &[&str] = &[
    // The mock CXL devices are probed at once, and share their records.
    "data-race in cxl_mock_add_event_logs",
    // capable() notes in the flags of the task that a capability was used; the scheduler of another
    // processor looks at another flag.
    "data-race in capable / kthread_is_per_cpu",
];

/// Finds complaints in the kernel log, line by line.
#[derive(Default)]
pub struct Scanner<'a> {
    tolerated: &'a [&'a str],
    /// Lines for which a bare stack trace is still excused.
    excused: u32,
}

impl<'a> Scanner<'a> {
    /// A scanner for a test that provokes lines which contain one of `tolerated`.
    pub fn tolerating(tolerated: &'a [&'a str]) -> Self {
        Scanner {
            tolerated,
            excused: 0,
        }
    }

    /// Whether `text` is what the test is about.
    fn is_tolerated(&self, text: &str) -> bool {
        self.tolerated.iter().any(|part| text.contains(part))
    }

    /// Whether the first of these lines only announces a report, and that is tolerated.
    fn announces_tolerated(&self, lines: &[Line]) -> bool {
        /// A warning's own message stands before the line that names the function.
        const MESSAGE: usize = 4;
        let mut kernel = lines
            .iter()
            .filter(|line| !line.from_user)
            .map(|line| line.text.trim_start());
        kernel.next() == Some(CUT)
            && kernel
                .take(MESSAGE)
                .find(|text| self.is_tolerated(text) || kind_of(text).is_some() || *text == CUT)
                .is_some_and(|text| self.is_tolerated(text))
    }

    /// Says whether `line` is a complaint.
    fn look(&mut self, line: &Line) -> Option<Complaint> {
        /// A stack dump is not longer than this.
        const DUMP: u32 = 80;
        if line.from_user {
            return None;
        }
        let text = line.text.trim_start();
        self.excused = self.excused.saturating_sub(1);
        // Fault injection prints a stack of its own accord, and was asked to.
        if text.starts_with("FAULT_INJECTION: ") || self.is_tolerated(text) {
            self.excused = DUMP;
            return None;
        }
        if let Some(kind) = kind_of(text) {
            // "INFO: task" also starts harmless lines.
            if kind == "hung task" && !text.contains(" blocked ") {
                return None;
            }
            return Some(Complaint {
                kind,
                line: text.into(),
                is_detail: false,
            });
        }
        let detail = DETAILS.iter().any(|detail| text.starts_with(detail));
        (detail && self.excused == 0).then(|| Complaint {
            kind: "stack trace",
            line: text.into(),
            is_detail: true,
        })
    }

    /// All complaints of a stretch of the log; details only if there is nothing better.
    pub fn scan(mut self, lines: &[Line]) -> Vec<Complaint> {
        let mut found = Vec::new();
        for (n, line) in lines.iter().enumerate() {
            if !is_race_of_others(&lines[n..]) && !self.announces_tolerated(&lines[n..]) {
                found.extend(self.look(line));
            }
        }
        if found.iter().any(|complaint| !complaint.is_detail) {
            found.retain(|complaint| !complaint.is_detail);
        }
        found
    }
}

/// What a line is about, if it is one of those that say what is wrong.
fn kind_of(text: &str) -> Option<&'static str> {
    let found = PATTERNS.iter().find(|(at, pattern, _)| match at {
        Start => text.starts_with(pattern),
        Anywhere => text.contains(pattern),
    });
    found.map(|(_, _, kind)| *kind)
}

/// Whether the first line begins a report of KCSAN in which no module has a part.  The kernel has
/// its own races, with nobody's drivers in it; all of ours are modules here.  Whom a fault or an
/// interrupt came upon has no part in what is done about it.  Nor have we a part in those that the
/// tables above name.
fn is_race_of_others(lines: &[Line]) -> bool {
    /// A report is not longer than this.
    const REPORT: usize = 150;
    let is_kernel = |line: &&Line| !line.from_user;
    let mut report = lines.iter().take(REPORT).filter(is_kernel);
    let Some(title) = report.next().map(|line| &line.text) else {
        return false;
    };
    let Some(race) = title.strip_prefix("BUG: KCSAN: ") else {
        return false;
    };
    // Of what a device does, only the other side is seen.
    let has_one_side = !race.contains(" / ");
    let is_with_a_device = has_one_side
        && RACING_WITH_DEVICES
            .iter()
            .any(|module| race.ends_with(module));
    if is_with_a_device || KNOWN_RACES.iter().any(|known| race.contains(known)) {
        return true;
    }
    // A frame in a module: `symbol+0x1/0x2 [module]`.
    let is_in_a_module = |line: &Line| line.text.contains("+0x") && line.text.ends_with(']');
    let mut is_interrupted = false;
    let has_a_part = |line: &Line| {
        let text = line.text.trim_start();
        // A line without text comes before each stack.
        is_interrupted = !text.is_empty() && (is_interrupted || text.starts_with("asm_"));
        is_in_a_module(line) && !is_interrupted
    };
    !report
        .take_while(|line| !line.text.starts_with("====="))
        .any(has_a_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(log: &str) -> Vec<(&'static str, String)> {
        let lines: Vec<Line> = log.lines().map(Line::parse).collect();
        let found = Scanner::default().scan(&lines);
        found.into_iter().map(|c| (c.kind, c.line)).collect()
    }

    #[test]
    fn prefixes() {
        let cases = [
            ("<4>[    1.234567] fwctl: hi", Some(4), false, "fwctl: hi"),
            (
                "<12>[   10.000001] fwctl-vm: begin 1 a",
                Some(4),
                true,
                "fwctl-vm: begin 1 a",
            ),
            ("[    0.000000] Linux version", None, false, "Linux version"),
            ("<6>[    1.2]     ok 1 a", Some(6), false, "    ok 1 a"),
            ("<6>[    1.2][    T1] a", Some(6), false, "a"),
            ("<6>[    1.2] [drm] a", Some(6), false, "[drm] a"),
            ("<x>[y] z", None, false, "<x>[y] z"),
            (
                "[ BUG: Invalid wait context ]",
                None,
                false,
                "[ BUG: Invalid wait context ]",
            ),
            ("<4>", Some(4), false, ""),
            ("", None, false, ""),
        ];
        for (raw, level, from_user, text) in cases {
            assert_eq!(
                Line::parse(raw),
                Line {
                    level,
                    from_user,
                    text: text.into()
                },
                "{raw}"
            );
        }
    }

    #[test]
    fn splitter_keeps_partial_lines() {
        let mut splitter = Splitter::default();
        assert!(splitter.push(b"<6>[1.0] he").is_empty());
        assert_eq!(splitter.push(b"llo\r\n\r\n<4>x")[0].text, "hello");
        assert_eq!(splitter.finish().unwrap().text, "x");
        assert_eq!(splitter.finish(), None);
    }

    #[test]
    fn each_kind_of_complaint() {
        let cases = [
            (
                "WARNING: drivers/fwctl/x.c:12 at f+0x1/0x2 [fwctl], CPU#1: sh/70",
                "WARNING",
            ),
            (
                "WARNING: possible circular locking dependency detected",
                "lockdep",
            ),
            ("WARNING: possible recursive locking detected", "lockdep"),
            (
                "WARNING: possible irq lock inversion dependency detected",
                "lockdep",
            ),
            ("WARNING: inconsistent lock state", "lockdep"),
            ("WARNING: suspicious RCU usage", "RCU"),
            ("WARNING: bad unlock balance detected!", "lockdep"),
            ("WARNING: held lock freed!", "lockdep"),
            ("[ BUG: Invalid wait context ]", "lockdep"),
            ("INFO: trying to register non-static key.", "lockdep"),
            ("BUG: KASAN: slab-use-after-free in f+0x1/0x2", "KASAN"),
            ("UBSAN: array-index-out-of-bounds in x.c:1:2", "UBSAN"),
            ("BUG: KASAN: global-out-of-bounds in f+0x1/0x2 [x]", "KASAN"),
            ("BUG: KASAN: vmalloc-out-of-bounds in f+0x1/0x2 [x]", "KASAN"),
            ("UBSAN: shift-out-of-bounds in x.c:1:2", "UBSAN"),
            (
                "ODEBUG: free active (active state 0) object: 1 object type: timer_list hint: f+0x0/0x1",
                "debug objects",
            ),
            ("ODEBUG: Out of memory. ODEBUG disabled", "debug objects"),
            (
                "kmemleak: 8 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
                "kmemleak",
            ),
            (
                "unreferenced object 0xffff888101234000 (size 1234):",
                "kmemleak",
            ),
            ("INFO: rcu_tasks detected stalls on tasks:", "RCU stall"),
            (
                "BUG: scheduling while atomic: sh/70/0x00000002",
                "atomic sleep",
            ),
            (
                "BUG: sleeping function called from invalid context at x.c:1",
                "atomic sleep",
            ),
            (
                "BUG: kernel NULL pointer dereference, address: 0000000000000000",
                "BUG",
            ),
            ("BUG: MAX_LOCKDEP_ENTRIES too low!", "BUG"),
            (
                "BUG kmalloc-64 (Tainted: G        W  ): Poison overwritten",
                "slab",
            ),
            (
                "BUG kmalloc-64 (Not tainted): Right Redzone overwritten",
                "slab",
            ),
            ("kernel BUG at lib/list_debug.c:32!", "BUG"),
            (
                "rust_kernel: panicked at drivers/fwctl/rpc.rs:1:2:",
                "Rust panic",
            ),
            (
                "Oops: general protection fault, probably for non-canonical address",
                "Oops",
            ),
            (
                "INFO: task sh:70 blocked for more than 40 seconds.",
                "hung task",
            ),
            (
                "INFO: task sh:70 <writer> blocked on an rw-semaphore likely owned by",
                "hung task",
            ),
            (
                "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
                "RCU stall",
            ),
            (
                "rcu: INFO: rcu_sched self-detected stall on CPU",
                "RCU stall",
            ),
            (
                "watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [sh:70]",
                "lockup",
            ),
            ("Kernel panic - not syncing: Fatal exception", "panic"),
            ("Call Trace:", "stack trace"),
            ("Call trace:", "stack trace"),
            ("Internal error: Oops - BUG: 00000000f2000800 [#1]  SMP", "Oops"),
            (
                "Unable to handle kernel paging request at virtual address 0000000000000010",
                "Oops",
            ),
        ];
        for (line, kind) in cases {
            let log = format!("<4>[    2.000000] {line}");
            assert_eq!(complaints(&log), [(kind, line.to_string())]);
            // An early console line has no level.
            assert_eq!(complaints(line).len(), 1, "{line}");
        }
    }

    #[test]
    fn lines_that_only_look_like_complaints() {
        for line in [
            "<4>[    2.0] fwctl_loopback fwctl0: sh(70) has requested full access to the physical device",
            "<4>[    0.1] Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on",
            "<6>[    0.1] rcu: \tRCU lockdep checking is enabled.",
            "<6>[    2.0]     # fwctl_scope: pass:3 fail:0 skip:0 total:3",
            "<6>[    2.0] traps: fwctl[70] general protection fault ip:4 sp:7 error:0",
            "<6>[    2.0] Lock dependency validator: Copyright (c) 2006 Red Hat, Inc.",
            "<12>[    2.0] BUG: a program wrote this to /dev/kmsg",
            "<12>[    2.0] Call Trace: likewise",
            "<6>[    2.0] INFO: task management is up",
            "<6>[    0.5] kmemleak: Kernel memory leak detector disabled",
            "<6>[    0.5] kmemleak: Kernel memory leak detector initialized (mem pool available: 15824)",
            "<6>[    0.0] kasan: KernelAddressSanitizer initialized (generic)",
            "<6>[    0.5] kcsan: strict mode configured",
            "<4>[    2.0] fwctl: module verification failed: tainting kernel",
        ] {
            assert_eq!(complaints(line), [], "{line}");
        }
    }

    #[test]
    fn details_are_quoted_only_alone() {
        let log = "<4>[1.0] ------------[ cut here ]------------\n\
                   <4>[1.0] WARNING: a.c:1 at f+0x1/0x2, CPU#0: sh/1\n\
                   <4>[1.0] Call Trace:\n";
        assert_eq!(complaints(log).len(), 1);
        assert_eq!(
            complaints("<4>[1.0] Call Trace:\n<4>[1.0]  f+0x1/0x2\n").len(),
            1
        );
    }

    #[test]
    fn fault_injection_may_show_its_stack_but_nothing_else() {
        let log = "<4>[1.0] FAULT_INJECTION: forcing a failure.\n<4>[1.0] Call Trace:\n";
        assert_eq!(complaints(log), []);
        let log = format!("{log}<4>[1.0] WARNING: a.c:1 at f+0x1/0x2, CPU#0: sh/1\n");
        assert_eq!(complaints(&log).len(), 1);
        let late = "<6>[2.0] quiet\n".repeat(100);
        let log = format!("<4>[1.0] FAULT_INJECTION: forcing\n{late}<4>[9.0] Call Trace:\n");
        assert_eq!(complaints(&log).len(), 1);
    }

    #[test]
    fn races_count_where_a_module_has_a_part() {
        let report = |frame: &str| {
            format!(
                "<3>[1.0] =====\n<3>[1.0] BUG: KCSAN: data-race in a / b\n<3>[1.0] \n\
                 <3>[1.0] write to 0xffff of 8 bytes by task 71 on cpu 0:\n\
                 <3>[1.0]  a+0x1/0x2\n<3>[1.0]  {frame}\n<3>[1.0] =====\n\
                 <6>[1.0] c+0x1/0x2 [later]\n"
            )
        };
        assert_eq!(complaints(&report("open+0x1/0x2")), []);
        assert_eq!(complaints(&report("open+0x1/0x2 [fwctl]")).len(), 1);

        let fault = "asm_exc_page_fault+0x1/0x2\n<3>[1.0]  ioctl+0x1/0x2 [fwctl]";
        assert_eq!(complaints(&report(fault)), []);
        let interrupt = "eq+0x1/0x2 [mlx5_core]\n<3>[1.0]  asm_common_interrupt+0x1/0x2";
        assert_eq!(complaints(&report(interrupt)).len(), 1);
        let device = report("f+0x1/0x2 [mlx5_core]").replace("a / b", "f+0x1/0x2 [mlx5_core]");
        assert_eq!(complaints(&device), []);
        let mock = report("f+0x1/0x2 [cxl_mock_mem]").replace("in a", "in cxl_mock_add_event_logs");
        assert_eq!(complaints(&mock), []);
        let flags = report("open+0x1/0x2 [fwctl]").replace("a / b", "capable / kthread_is_per_cpu");
        assert_eq!(complaints(&flags), []);
        let ours = report("f+0x1/0x2 [mlx5_fwctl]").replace("a / b", "f+0x1/0x2 [mlx5_fwctl]");
        assert_eq!(complaints(&ours).len(), 1);
        let second = "<3>[1.0] \n<3>[1.0] read to 0xffff of 8 bytes by task 72 on cpu 1:";
        let both = format!("{fault}\n{second}\n<3>[1.0]  open+0x1/0x2 [fwctl]");
        assert_eq!(complaints(&report(&both)).len(), 1);
    }

    #[test]
    fn tolerated_lines() {
        let lines = [
            Line::parse("<4>[1.0] WARNING: wanted.c:1 at f+0x1/0x2"),
            Line::parse("<4>[1.0] Call Trace:"),
            Line::parse("<4>[1.0] WARNING: other.c:1 at f+0x1/0x2"),
        ];
        let found = Scanner::tolerating(&["wanted.c"]).scan(&lines);
        assert_eq!(found.len(), 1);
        assert!(found[0].line.contains("other.c"));
    }

    #[test]
    fn a_tolerated_report_is_tolerated_whole() {
        let found = |log: &[&str]| {
            let lines: Vec<Line> = log.iter().map(|line| Line::parse(line)).collect();
            Scanner::tolerating(&["wanted", "vmalloc error: "])
                .scan(&lines)
                .len()
        };
        let cut = "<4>[1.0] ------------[ cut here ]------------";
        let wanted = "<4>[1.0] WARNING: a.c:1 at wanted+0x1/0x2, CPU#0: sh/1";
        let other = "<4>[1.0] WARNING: a.c:1 at other+0x1/0x2, CPU#0: sh/1";
        let memory = "<4>[1.0] sh: vmalloc error: size 8192, failed to allocate pages, mode:0xdc0";
        let stack = "<4>[1.0] Call Trace:";
        let quiet = "<6>[1.0] quiet";
        let user = "<12>[1.0] a program says something in between";
        assert_eq!(found(&[cut, wanted, stack]), 0);
        assert_eq!(found(&[cut, user, wanted, stack]), 0);
        // The message of a warning comes before the line that says where.
        let message = "<4>[1.0] pages counter is 72";
        assert_eq!(found(&[cut, message, wanted, stack]), 0);
        assert_eq!(found(&[cut, message, other, wanted]), 1);
        assert_eq!(found(&[cut, message, cut, wanted, stack]), 1);
        assert_eq!(found(&[memory, quiet, stack, quiet]), 0);
        // What it is not about is one still, and so is a cut that announces nothing.
        assert_eq!(found(&[cut, other, stack]), 1);
        assert_eq!(found(&[cut, wanted, stack, cut, other, stack]), 1);
        assert_eq!(found(&[cut, quiet]), 1);
        assert_eq!(found(&[cut, quiet, quiet, quiet, quiet, wanted]), 1);
        assert_eq!(found(&[stack, memory]), 1);
    }
}
