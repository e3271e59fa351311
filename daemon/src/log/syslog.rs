//! `error_log syslog:`: a datagram per line. What is lost is told to the main log, once for each outage.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::rc::{Rc, Weak};
use std::time::{Duration, SystemTime};

use gatepost_protocol::event::Level;

use super::lines::{errno_text, peer_text};
use super::{Log, Outlets};
use crate::config::LogFormat;
use crate::runtime::Peer;
use crate::sys;

/// An outage is over when this long nothing was lost: by UDP every second line seems to arrive at a server that is
/// away.
const OUTAGE_END: Duration = Duration::from_secs(60);

/// One syslog server with what stands in front of its messages.
#[derive(Debug)]
pub(crate) struct Syslog {
    server: Peer,
    /// The code of the facility, 0 to 23.
    facility: u8,
    tag: Box<str>,
    /// `None` with `nohostname`.
    hostname: Option<Box<str>>,
    socket: RefCell<Option<Socket>>,
    /// When a line was lost last.
    lost: Cell<Option<SystemTime>>,
    /// Whether a line is on its way, and more of them would be about that one.
    is_busy: Cell<bool>,
    /// Who is told of losses; standard error, if nobody.
    main_log: RefCell<Weak<Outlets>>,
    /// That of the main log, also when that one is gone.
    main_format: Cell<LogFormat>,
}

#[derive(Debug)]
enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl Syslog {
    pub(crate) fn new(server: Peer, facility: u8, tag: Box<str>, with_hostname: bool) -> Self {
        let hostname = || nix::unistd::gethostname().ok()?.into_string().ok();
        Self {
            server,
            facility,
            tag,
            hostname: with_hostname.then(hostname).flatten().map(String::into_boxed_str),
            socket: RefCell::default(),
            lost: Cell::default(),
            is_busy: Cell::new(false),
            main_log: RefCell::default(),
            main_format: Cell::default(),
        }
    }

    /// Names the log that learns of losses. It may have this server among its targets.
    pub(crate) fn report_to(&self, log: &Log) {
        *self.main_log.borrow_mut() = Rc::downgrade(&log.0);
        self.main_format.set(log.0.format);
    }

    /// Sends one line, or loses it: a log must not hold up its program.
    pub(crate) fn send(&self, at: SystemTime, level: Level, line: &str) {
        if self.is_busy.replace(true) {
            return;
        }
        let message = self.message(at, level, line);
        let was_open = self.socket.borrow().is_some();
        let mut outcome = self.try_send(message.as_bytes());
        if outcome.is_err() && was_open {
            let again = self.try_send(message.as_bytes());
            // A unix server that was restarted has another socket. By UDP the failure is that of an earlier line, and
            // this one has its own chance.
            if again.is_err() || matches!(self.server, Peer::Unix(_)) {
                outcome = again;
            }
        }
        if let Err((call, error)) = outcome {
            let is_over = |last: SystemTime| at.duration_since(last).is_ok_and(|passed| passed >= OUTAGE_END);
            if self.lost.replace(Some(at)).is_none_or(is_over) {
                self.tell(at, call, &error);
            }
        }
        self.is_busy.set(false);
    }

    fn tell(&self, at: SystemTime, call: &str, error: &io::Error) {
        let (text, server) = (errno_text(error.raw_os_error().unwrap_or(0)), peer_text(&self.server));
        let notice = format!("{call} failed {text} while logging to syslog, server: {server}");
        let outlets = self.main_log.borrow().upgrade();
        let others = outlets.filter(|outlets| outlets.targets.iter().any(|(_, target)| target.is_able()));
        match others {
            Some(outlets) => Log(outlets).write(at, Level::Alert, None, &notice),
            None => super::write_stderr(&self.last_resort(at, &notice)),
        }
    }

    /// The line for standard error, which the main log did not make.
    fn last_resort(&self, at: SystemTime, notice: &str) -> String {
        super::line(self.main_format.get(), at, Level::Alert, None, &notice.into())
    }

    /// Whether it takes lines now.
    pub(super) fn is_able(&self) -> bool {
        !self.is_busy.get()
    }

    /// The error comes with the call that failed, and with the end of the socket.
    fn try_send(&self, message: &[u8]) -> Result<(), (&'static str, io::Error)> {
        let mut slot = self.socket.borrow_mut();
        let socket = match &mut *slot {
            Some(socket) => socket,
            None => slot.insert(Socket::open(&self.server).map_err(|error| ("connect()", error))?),
        };
        match socket {
            Socket::Udp(socket) => socket.send(message),
            Socket::Unix(socket) => socket.send(message),
        }
        .map(drop)
        .map_err(|error| {
            *slot = None;
            ("send()", error)
        })
    }

    /// `<PRI>Mon DD HH:MM:SS HOSTNAME TAG: LINE`
    fn message(&self, at: SystemTime, level: Level, line: &str) -> String {
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let now = sys::local_time(at);
        let priority = u16::from(self.facility) * 8 + level as u16;
        let month = MONTHS[usize::from(now.month.clamp(1, 12)) - 1];
        let (host, space) = self.hostname.as_deref().map_or(("", ""), |host| (host, " "));
        format!(
            "<{priority}>{month} {:2} {:02}:{:02}:{:02} {host}{space}{}: {line}",
            now.day, now.hour, now.minute, now.second, self.tag
        )
    }
}

impl Socket {
    fn open(server: &Peer) -> io::Result<Self> {
        match server {
            Peer::Inet(address) => {
                let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let local: SocketAddr = any.parse().expect("an address");
                let socket = UdpSocket::bind(local)?;
                socket.connect(address)?;
                socket.set_nonblocking(true)?;
                Ok(Self::Udp(socket))
            }
            Peer::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                socket.set_nonblocking(true)?;
                Ok(Self::Unix(socket))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{LogFiles, Target};

    #[test]
    fn a_message_has_priority_time_and_tag() {
        let syslog = Syslog::new(Peer::Unix("/dev/null".into()), 2, "gp".into(), false);
        let message = syslog.message(SystemTime::UNIX_EPOCH, Level::Info, "a line");
        let (priority, rest) = message.split_at(4);
        assert_eq!(priority, "<22>");
        assert_eq!(&rest[15..], " gp: a line");
        assert!(rest.starts_with("Jan  1 ") || rest.starts_with("Dec 31 "), "{rest}");
    }

    #[test]
    fn lines_arrive_and_a_dead_server_does_no_harm() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("log");
        let server = UnixDatagram::bind(&path).expect("a socket");
        let syslog = Syslog::new(Peer::Unix(path.clone()), 23, "nginx".into(), false);
        syslog.send(SystemTime::UNIX_EPOCH, Level::Emerg, "one");
        let mut buffer = [0; 100];
        let count = server.recv(&mut buffer).expect("a datagram");
        assert!(buffer.starts_with(b"<184>") && buffer[..count].ends_with(b" nginx: one"));
        drop(server);
        syslog.send(SystemTime::UNIX_EPOCH, Level::Emerg, "lost");
        assert!(syslog.lost.take().is_some());
        std::fs::remove_file(&path).expect("remove");
        let server = UnixDatagram::bind(&path).expect("a socket");
        syslog.send(SystemTime::UNIX_EPOCH, Level::Emerg, "three");
        let count = server.recv(&mut buffer).expect("a datagram");
        assert!(buffer[..count].ends_with(b" nginx: three"));
        // One that is restarted between two lines misses none.
        drop(server);
        std::fs::remove_file(&path).expect("remove");
        let server = UnixDatagram::bind(&path).expect("a socket");
        syslog.send(SystemTime::UNIX_EPOCH, Level::Emerg, "four");
        let count = server.recv(&mut buffer).expect("a datagram");
        assert!(buffer[..count].ends_with(b" nginx: four") && syslog.lost.get().is_none());
    }

    /// Seconds after the epoch.
    fn second(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    /// A syslog server that nobody is, the main log with it as a target, and the file that is the other target.
    fn bench(server: Peer) -> (tempfile::TempDir, Rc<Syslog>, Log, impl Fn() -> Vec<String>) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("error.log");
        let file = LogFiles::default().open(&path).expect("a new file");
        let syslog = Rc::new(Syslog::new(server, 23, "nginx".into(), false));
        let targets = [
            (Level::Info, Target::Syslog(Rc::clone(&syslog))),
            (Level::Warn, Target::File(Rc::clone(&file))),
        ];
        let log = Log::new(targets);
        syslog.report_to(&log);
        let lines = move || {
            let text = std::fs::read_to_string(&path).expect("the log");
            text.lines().filter_map(|line| line.split_once("#0: ")).map(|(_, text)| text.to_owned()).collect()
        };
        (folder, syslog, log, lines)
    }

    #[test]
    fn an_outage_is_told_once_to_the_other_main_logs() {
        let (_folder, _syslog, log, lines) = bench(Peer::Unix("/nonexistent/syslog".into()));
        let told = "connect() failed (2: No such file or directory) while logging to syslog, \
                    server: unix:/nonexistent/syslog";
        for at in [0, 1, 50, 100] {
            log.write(second(at), Level::Info, None, "a line");
        }
        assert_eq!(lines(), [told]);
        // The clock may go back. After a minute without a loss, the next one is another outage's.
        log.write(second(10), Level::Info, None, "a line");
        log.write(second(69), Level::Info, None, "a line");
        assert_eq!(lines(), [told]);
        log.write(second(129), Level::Warn, None, "a warning");
        assert_eq!(lines(), [told, told, "a warning"]);
    }

    #[test]
    fn what_udp_hides_is_no_end_of_an_outage() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let server = socket.local_addr().expect("an address");
        drop(socket);
        let (_folder, _syslog, log, lines) = bench(Peer::Inet(server));
        (0..9).for_each(|at| log.write(second(at), Level::Info, None, "a line"));
        let told =
            format!("send() failed (111: Connection refused) while logging to syslog, server: {server}");
        assert_eq!(lines(), [told]);
    }

    #[test]
    fn a_server_that_is_back_gets_the_first_line_by_udp() {
        let socket = UdpSocket::bind("127.0.0.47:0").expect("a socket");
        let server = socket.local_addr().expect("an address");
        drop(socket);
        let (_folder, _syslog, log, lines) = bench(Peer::Inet(server));
        log.write(second(0), Level::Info, None, "lost");
        let socket = UdpSocket::bind(server).expect("the address again");
        socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        log.write(second(1), Level::Info, None, "first");
        let mut buffer = [0; 200];
        let count = socket.recv(&mut buffer).expect("a datagram");
        assert!(buffer[..count].ends_with(b"first"));
        assert_eq!(lines().len(), 1, "one is lost, and that is told");
    }

    #[test]
    fn an_outage_is_told_in_the_format_of_the_main_log() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("error.log");
        let file = LogFiles::default().open(&path).expect("a new file");
        let main = Log::with_format(LogFormat::Json, [(Level::Warn, Target::File(file))]);
        let syslog = Syslog::new(Peer::Unix("/nonexistent/syslog".into()), 23, "nginx".into(), false);
        assert!(syslog.last_resort(second(0), "lost").ends_with("#0: lost\n"), "no configuration is read");
        syslog.report_to(&main);
        // The line that is lost has its own format.
        syslog.send(second(0), Level::Info, "a line of text");
        let told = std::fs::read_to_string(&path).expect("the log");
        let head = "{\"time\":\"1970-01-01T00:00:00.000Z\",\"level\":\"alert\",\"pid\":";
        assert!(told.starts_with(head) && told.contains("while logging to syslog"), "{told}");
        // Standard error gets the same, also where sessions outlive the main log.
        drop(main);
        let last = syslog.last_resort(second(0), "lost");
        assert!(last.starts_with(head) && last.ends_with(",\"message\":\"lost\"}\n"), "{last}");
    }

    #[test]
    fn two_servers_that_are_away_do_not_tell_each_other_for_ever() {
        let [first, second_server] = ["/nonexistent/1", "/nonexistent/2"]
            .map(|path| Rc::new(Syslog::new(Peer::Unix(path.into()), 23, "nginx".into(), false)));
        let log =
            Log::new([&first, &second_server].map(|syslog| (Level::Info, Target::Syslog(Rc::clone(syslog)))));
        [&first, &second_server].into_iter().for_each(|syslog| syslog.report_to(&log));
        log.write(second(0), Level::Info, None, "a line");
        assert!(first.lost.get().is_some() && second_server.lost.get().is_some());
        assert!(first.is_able() && second_server.is_able());
    }
}
