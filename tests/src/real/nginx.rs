//! Debian's nginx: with its mail module the reference for parity, without it an HTTP server.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::PATIENCE;

/// One nginx process in the foreground, with all its files in a temporary folder.
pub struct Nginx {
    child: Child,
    folder: TempDir,
}

impl Nginx {
    /// Where the package libnginx-mod-mail puts the module.
    pub const MODULE: &str = "/usr/lib/nginx/modules/ngx_mail_module.so";

    /// The programs and files a test with nginx needs, for [`are_available`](super::are_available).
    pub const NEEDS: [&str; 2] = ["nginx", Self::MODULE];

    /// Starts it with this `mail {}` content and waits until the last of `listens` accepts.
    pub fn start(folder: TempDir, mail: &str, listens: &[SocketAddr]) -> Self {
        let text = format!("load_module {};\nmail {{\n{mail}\n}}\n", Self::MODULE);
        Self::run(folder, &text, listens)
    }

    /// The same with this `http {}` content, and no mail module.
    pub fn start_http(folder: TempDir, http: &str, listens: &[SocketAddr]) -> Self {
        let places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let places: String = places.iter().map(|place| format!("{place}_temp_path temp;\n")).collect();
        Self::run(folder, &format!("http {{\n{places}{http}\n}}\n"), listens)
    }

    fn run(folder: TempDir, text: &str, listens: &[SocketAddr]) -> Self {
        // Modules come first.
        let text = format!(
            "{text}daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log error.log info;\n\
             events {{ worker_connections 4096; }}\n"
        );
        fs::write(folder.path().join("nginx.conf"), text).unwrap();
        let program = super::find("nginx").expect("the caller has asked whether nginx is available");
        let child = Command::new(program)
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(folder.path().join("nginx.conf"))
            .arg("-e")
            .arg(folder.path().join("error.log"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut nginx = Self { child, folder };
        for &listen in listens {
            nginx.await_listen(listen);
        }
        nginx
    }

    fn await_listen(&mut self, listen: SocketAddr) {
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(listen).is_err() {
            let status = self.child.try_wait().unwrap();
            assert!(status.is_none() && Instant::now() < end, "nginx: {status:?}\n{}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it, without waiting for sessions.
    pub fn quit(&mut self) {
        kill(self.pid(), Signal::SIGQUIT).unwrap();
        self.child.wait().unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("process ids are small"))
    }

    /// The folder with its files.
    pub fn path(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// The error log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("error.log")
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if self.child.try_wait().ok().flatten().is_some() {
            return;
        }
        let _ = kill(self.pid(), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}
