//! Rows with something changed at random, from a seed. Nobody says what should come of them; but whatever arrives
//! upstream is well-formed, and there is one answer from there for each request that arrived.

use super::cases::load;
use super::host::{Host, Told};
use crate::support::until;

const MUTANTS: u64 = 500;

/// Changes of text that make somebody read another message.
const WORDS: [&[u8]; 30] = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"=",
    b"\"",
    b"\\",
    b"0",
    b"1",
    b"f",
    b"x",
    b"-",
    b"_",
    b"\x7f",
    b"\xff",
    b"\r\n\r\n",
    b"0\r\n\r\n",
    b"\r\n ",
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: x\r\n",
    b"chunked",
    b"identity",
    b" HTTP/1.0\r\n",
    b"GET /plain/in HTTP/1.1\r\nHost: a\r\n\r\n",
];

/// Numbers from a seed (Steele, Lea, Flood: SplitMix).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(2) {
            let at = self.below(bytes.len());
            match self.below(4) {
                0 => drop(bytes.remove(at)),
                1 => bytes[at] = WORDS[self.below(20)][0],
                _ => drop(bytes.splice(at..at, WORDS[self.below(WORDS.len())].iter().copied())),
            }
        }
    }
}

/// What comes of mutants mostly waits for a time-out: so many are asked at once, each of a gateway of its own.
const LANES: u64 = 8;

#[test]
fn of_what_is_changed_at_random_only_whole_requests_arrive() {
    let groups: Vec<_> = ["taken.cases", "sequences.cases"].iter().flat_map(|file| load(file)).collect();
    let rows: Vec<_> = groups.iter().flat_map(|group| &group.rows).map(|row| row.bytes("")).collect();
    // An answer to HEAD cannot be told from one to a method that is nearly HEAD.
    let rows: Vec<_> = rows.into_iter().filter(|row| !row.starts_with(b"HEAD") && row.len() < 4000).collect();
    let (mut passed, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        let seeds = |lane| (lane..MUTANTS).step_by(LANES as usize);
        let lanes = (0..LANES).map(|lane| (&rows, seeds(lane)));
        let lanes: Vec<_> = lanes.map(|(rows, seeds)| scope.spawn(move || tried(rows, seeds))).collect();
        for lane in lanes {
            let (more_passed, more_refused) = lane.join().expect("all is well");
            (passed, refused) = (passed + more_passed, refused + more_refused);
        }
    });
    assert!(passed > 100 && refused > 100, "{passed} passed, {refused} refused");
}

/// Sends mutants of `rows`; how many requests were answered from upstream, and how many were refused.
fn tried(rows: &[Vec<u8>], seeds: impl Iterator<Item = u64>) -> (usize, usize) {
    let host = Host::start();
    let short = "  workers: {cores: 1, pin: false}\n  timeouts: {head: 200ms, body: 200ms, idle: 200ms}";
    let rig = host.rig(short);
    let (mut passed, mut refused) = (0, 0);
    for seed in seeds {
        let mut random = Random(seed);
        let mut bytes = rows[random.below(rows.len())].clone();
        random.mutate(&mut bytes);
        let name = format!("seed {seed}: {}", bytes.escape_ascii());
        let mut client = rig.client();
        client.write(&bytes);
        let mut from_host = 0;
        while let Some(answer) = client.try_answer() {
            assert!(answer.complete, "{name}");
            from_host += usize::from(answer.header("via").is_some());
            refused += usize::from(answer.header("via").is_none() && answer.status >= 400);
        }
        until("nothing is in flight", || rig.count(|c| c.requests_in_flight.get()) == 0);
        let Told { seen, faults, .. } = host.take();
        assert_eq!((seen.len(), faults), (from_host, vec![]), "{name}");
        passed += from_host;
    }
    (passed, refused)
}
