//! /proc/PID/stat: relations, state and the addresses of the program's parts.

use std::io;

use super::{invalid, read_whole};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stat {
    pub pid: i32,
    pub comm: String,
    pub state: char,
    pub ppid: i32,
    pub pgid: i32,
    pub sid: i32,
    pub tty: i32,
    pub tty_pgid: i32,
    /// PF_* bits (include/linux/sched.h).
    pub flags: u32,
    pub threads: i32,
    /// In clock ticks since boot.
    pub start_time: u64,
    pub start_code: u64,
    pub end_code: u64,
    pub start_stack: u64,
    pub exit_signal: i32,
    pub start_data: u64,
    pub end_data: u64,
    pub start_brk: u64,
    pub arg_start: u64,
    pub arg_end: u64,
    pub env_start: u64,
    pub env_end: u64,
    /// In the form that waitpid reports; of a zombie.
    pub exit_code: i32,
}

impl Stat {
    pub fn of(pid: i32) -> io::Result<Stat> {
        parse(&read_whole(pid, "stat")?)
    }

    pub fn of_thread(pid: i32, tid: i32) -> io::Result<Stat> {
        parse(&read_whole(pid, &format!("task/{tid}/stat"))?)
    }

    /// PF_KTHREAD: it has no program.
    pub fn is_kernel_thread(&self) -> bool {
        self.flags & 0x20_0000 != 0
    }

    pub fn is_zombie(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

fn parse(text: &str) -> io::Result<Stat> {
    // The name may hold spaces and parentheses: it ends at the last one.
    let (open, close) = match (text.find('('), text.rfind(')')) {
        (Some(o), Some(c)) if o < c => (o, c),
        _ => return Err(invalid("stat")),
    };
    let rest: Vec<&str> = text[close + 1..].split_ascii_whitespace().collect();
    // Fields are numbered from 1 in proc(5); `rest` begins with field 3.
    let number = |field: usize| -> u64 {
        let word = rest.get(field - 3).copied().unwrap_or("0");
        word.parse::<u64>().unwrap_or_else(|_| word.parse::<i64>().unwrap_or(0) as u64)
    };
    Ok(Stat {
        pid: text[..open].trim().parse().map_err(|_| invalid("stat"))?,
        comm: text[open + 1..close].to_owned(),
        state: rest.first().and_then(|s| s.chars().next()).ok_or_else(|| invalid("stat"))?,
        ppid: number(4) as i32,
        pgid: number(5) as i32,
        sid: number(6) as i32,
        tty: number(7) as i32,
        tty_pgid: number(8) as i32,
        flags: number(9) as u32,
        threads: number(20) as i32,
        start_time: number(22),
        start_code: number(26),
        end_code: number(27),
        start_stack: number(28),
        exit_signal: number(38) as i32,
        start_data: number(45),
        end_data: number(46),
        start_brk: number(47),
        arg_start: number(48),
        arg_end: number(49),
        env_start: number(50),
        env_end: number(51),
        exit_code: number(52) as i32,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = parse("7 (a) b) (c) S 1 7 6 0 -1 4194560 0 0").unwrap();
        assert_eq!(
            (stat.comm.as_str(), stat.state, stat.ppid, stat.sid, stat.tty_pgid),
            ("a) b) (c", 'S', 1, 6, -1)
        );
    }

    #[test]
    fn our_own_stat_is_read() {
        let stat = Stat::of(std::process::id() as i32).unwrap();
        assert_eq!(stat.pid, std::process::id() as i32);
        assert!(stat.start_code != 0 && stat.env_end >= stat.env_start);
    }
}
