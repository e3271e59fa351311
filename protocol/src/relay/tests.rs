use super::*;
use crate::action::Errno;
use crate::address::ClientAddr;
use crate::tests::start;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// A plain relay, its clock, and what it has to say.
struct Driver {
    relay: Relay,
    start: Instant,
}

impl Driver {
    fn new() -> Self {
        let start = start();
        let log_context =
            LogContext { client: ClientAddr::Unix, starttls: false, login: None, upstream: None };
        let limits = IdleLimits { open: HOUR, backend_ended: MINUTE };
        let relay = Relay::new(
            Transport::plain(),
            Transport::plain(),
            Traffic::default(),
            limits,
            log_context,
            None,
            start,
        );
        Self { relay, start }
    }

    fn limits(&mut self, open: Duration) {
        self.relay.limits.open = open;
    }

    fn drain(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.relay.poll_action()).collect()
    }

    fn input(&mut self, side: Side, bytes: &[u8], after: Duration) -> Vec<u8> {
        let mut out = Output::default();
        self.relay.handle_input(side, &mut bytes.to_vec(), self.start + after, &mut out);
        assert!(out.side(side).is_empty(), "nothing goes back");
        assert_eq!(self.drain(), []);
        out.side(side.other()).to_vec()
    }

    fn eof(&mut self, side: Side, after: Duration) -> Vec<Action> {
        self.relay.handle_eof(side, self.start + after, &mut Output::default());
        self.drain()
    }

    fn deadline(&mut self, after: Duration) -> Vec<Action> {
        self.relay.handle_deadline(self.start + after, &mut Output::default());
        self.drain()
    }
}

fn close_all() -> [Action; 4] {
    [
        Action::Log(Event::Done, None),
        Action::Close(Side::Client),
        Action::Close(Side::Backend),
        Action::Finish,
    ]
}

#[test]
fn bytes_pass_both_ways_and_are_counted() {
    let mut driver = Driver::new();
    assert!(driver.relay.is_transparent());
    assert_eq!(driver.input(Side::Client, b"a1 SELECT x\r\n", MINUTE), b"a1 SELECT x\r\n");
    assert_eq!(driver.input(Side::Backend, b"\0\xff\r", MINUTE), b"\0\xff\r");
    driver.relay.handle_passed(Side::Backend, 1000, driver.start);
    assert_eq!(driver.drain(), []);
    assert_eq!(driver.relay.traffic(), Traffic { from_client: 13, to_client: 1003 });
}

#[test]
fn activity_of_either_side_postpones_the_idle_limit() {
    let mut driver = Driver::new();
    assert_eq!(driver.relay.poll_deadline(), Some(driver.start + HOUR));
    driver.input(Side::Backend, b"* 1 EXISTS\r\n", MINUTE);
    assert_eq!(driver.relay.poll_deadline(), Some(driver.start + HOUR + MINUTE));
    driver.relay.handle_passed(Side::Client, 1, driver.start + 2 * MINUTE);
    driver.drain();
    assert_eq!(driver.relay.poll_deadline(), Some(driver.start + HOUR + 2 * MINUTE));
    assert_eq!(driver.deadline(HOUR + MINUTE), [], "too early");
    let mut expected = vec![Action::Log(Event::ClientTimedOut, Some(Stage::Proxying))];
    expected.extend(close_all());
    assert_eq!(driver.deadline(HOUR + 2 * MINUTE), expected);
    assert_eq!(driver.relay.poll_deadline(), None);
}

#[test]
fn the_end_of_one_side_leaves_the_other_direction_open() {
    for side in [Side::Client, Side::Backend] {
        let mut driver = Driver::new();
        assert_eq!(driver.eof(side, MINUTE), [Action::Shutdown(side.other())]);
        assert_eq!(driver.eof(side, MINUTE), [], "said twice");
        assert_eq!(driver.input(side.other(), b"answer", 2 * MINUTE - Duration::from_secs(1)), b"answer");
        assert_eq!(driver.eof(side.other(), 2 * MINUTE), close_all());
    }
}

#[test]
fn a_client_that_has_ended_waits_for_its_answer() {
    let mut driver = Driver::new();
    driver.input(Side::Client, b".\r\nQUIT\r\n", MINUTE);
    driver.eof(Side::Client, MINUTE);
    assert_eq!(driver.relay.poll_deadline(), Some(driver.start + HOUR + MINUTE));
    assert_eq!(driver.input(Side::Backend, b"250 queued\r\n", 10 * MINUTE), b"250 queued\r\n");
    let mut expected = vec![Action::Log(Event::BackendTimedOut, Some(Stage::Proxying))];
    expected.extend(close_all());
    assert_eq!(driver.deadline(HOUR + 10 * MINUTE), expected);
}

#[test]
fn silence_behind_the_end_of_the_backend_ends_sooner_and_without_a_complaint() {
    let mut driver = Driver::new();
    driver.eof(Side::Backend, MINUTE);
    assert_eq!(driver.relay.poll_deadline(), Some(driver.start + 2 * MINUTE));
    assert_eq!(driver.deadline(2 * MINUTE), close_all());
    let mut driver = Driver::new();
    driver.limits(Duration::from_secs(1));
    driver.eof(Side::Backend, Duration::ZERO);
    assert_eq!(driver.relay.poll_deadline(), Some(driver.start + Duration::from_secs(1)));
}

#[test]
fn a_client_that_takes_its_answer_slowly_is_not_idle() {
    let mut driver = Driver::new();
    driver.input(Side::Backend, b"* 1 FETCH ...", MINUTE);
    driver.eof(Side::Backend, MINUTE);
    driver.relay.handle_taken(driver.start + MINUTE + MINUTE / 2);
    assert_eq!(driver.drain(), []);
    assert_eq!(driver.deadline(2 * MINUTE), [], "too early");
    assert_eq!(driver.deadline(2 * MINUTE + MINUTE / 2), close_all());
}

#[test]
fn a_failed_leg_is_dropped_and_the_other_closed() {
    let errno = Errno(104);
    for (side, failure, event, stage) in [
        (
            Side::Client,
            SocketFailure::Receive(errno),
            Event::ReceiveFailed(Side::Client, errno),
            Stage::ReadingClient,
        ),
        (
            Side::Backend,
            SocketFailure::Receive(errno),
            Event::ReceiveFailed(Side::Backend, errno),
            Stage::ReadingBackend,
        ),
        (
            Side::Client,
            SocketFailure::Send(errno),
            Event::SendFailed(Side::Client, errno),
            Stage::SendingClient,
        ),
        (
            Side::Backend,
            SocketFailure::Send(errno),
            Event::SendFailed(Side::Backend, errno),
            Stage::SendingBackend,
        ),
    ] {
        let mut driver = Driver::new();
        driver.relay.handle_failure(side, failure, driver.start, &mut Output::default());
        let actions = driver.drain();
        assert_eq!(actions[..2], [Action::Log(event, Some(stage)), Action::Log(Event::Done, None)]);
        assert!(actions.contains(&Action::Abort(side)) && actions.contains(&Action::Close(side.other())));
        assert_eq!(actions.last(), Some(&Action::Finish));
    }
}

#[test]
fn a_finished_relay_does_nothing_more() {
    let mut driver = Driver::new();
    driver.relay.handle_shutdown_timeout(driver.start);
    let actions = driver.drain();
    assert_eq!(actions[0], Action::Log(Event::ShutdownTimedOut, Some(Stage::Proxying)));
    assert_eq!(actions[1..], close_all());
    assert_eq!(driver.input(Side::Client, b"late", MINUTE), b"");
    assert_eq!(driver.eof(Side::Client, MINUTE), []);
    assert_eq!(driver.deadline(2 * HOUR), []);
    assert_eq!(driver.relay.traffic(), Traffic::default());
}

#[test]
fn the_end_can_tell_bytes_and_time() {
    let mut driver = Driver::new();
    driver.relay.summary_since = driver.start.checked_sub(Duration::from_millis(1500));
    driver.input(Side::Client, b"QUIT\r\n", Duration::from_secs(1));
    driver.input(Side::Backend, b"+OK\r\n", Duration::from_secs(2));
    driver.eof(Side::Backend, Duration::from_secs(3));
    let actions = driver.eof(Side::Client, Duration::from_secs(4));
    let traffic = Traffic { from_client: 6, to_client: 5 };
    let summary = Summary { traffic, time: Duration::from_millis(5500) };
    assert_eq!(actions[0], Action::Log(Event::DoneWith(summary), None));
}
