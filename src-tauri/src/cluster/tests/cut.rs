//! A cable between a client and the API server that can be cut, or fall silent.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// What the cable does with what comes.
#[derive(Debug, Default)]
struct State {
    /// Refused.
    broken: AtomicBool,
    /// Taken, and passed on to nobody.
    silent: AtomicBool,
}

/// The cable. While it is cut or silent, nobody gets through.
pub struct Cut {
    state: Arc<State>,
    open: Arc<Mutex<Vec<TcpStream>>>,
    /// Of each connection: it passes nothing on any more.
    mute: Arc<Mutex<Vec<Arc<AtomicBool>>>>,
}

impl Cut {
    /// Puts a cable before the server of `kubeconfig` and gives a kubeconfig, in `folder`, that goes through it.
    pub fn before(kubeconfig: &Path, folder: &Path) -> (Self, PathBuf) {
        Self::at("127.0.0.1:0", kubeconfig, folder).unwrap()
    }

    /// The same at another address, where the machine has that.
    pub fn at(address: &str, kubeconfig: &Path, folder: &Path) -> io::Result<(Self, PathBuf)> {
        let text = fs::read_to_string(kubeconfig)?;
        let server = server(&text);
        let listener = TcpListener::bind(address)?;
        let own = listener.local_addr().unwrap();
        let copy = folder.join("through-a-cable");
        fs::write(&copy, text.replace(&server.to_string(), &own.to_string())).unwrap();
        let cut = Self {
            state: Arc::default(),
            open: Arc::default(),
            mute: Arc::default(),
        };
        let (state, open, mutes) = (cut.state.clone(), cut.open.clone(), cut.mute.clone());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if state.broken.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(upstream) = TcpStream::connect(server) else {
                    continue;
                };
                let mute = Arc::new(AtomicBool::new(state.silent.load(Ordering::SeqCst)));
                for (from, to) in [(&client, &upstream), (&upstream, &client)] {
                    let (from, to, mute) = (from.try_clone().unwrap(), to.try_clone().unwrap(), mute.clone());
                    thread::spawn(move || pass(from, to, &mute));
                }
                mutes.lock().unwrap().push(mute);
                open.lock().unwrap().extend([client, upstream]);
            }
        });
        Ok((cut, copy))
    }

    /// Breaks every connection, and refuses new ones.
    pub fn cut(&self) {
        self.state.broken.store(true, Ordering::SeqCst);
        for end in self.open.lock().unwrap().drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    /// Passes nothing on any more, and closes nothing. What was opened until it is mended stays so for ever, as where
    /// a VPN comes back with another address.
    pub fn fall_silent(&self) {
        self.state.silent.store(true, Ordering::SeqCst);
        for mute in &*self.mute.lock().unwrap() {
            mute.store(true, Ordering::SeqCst);
        }
    }

    /// Lets new connections through.
    pub fn mend(&self) {
        self.state.broken.store(false, Ordering::SeqCst);
        self.state.silent.store(false, Ordering::SeqCst);
    }
}

/// The address of the API server in a kubeconfig.
pub fn server(kubeconfig: &str) -> SocketAddr {
    let (_, rest) = kubeconfig.split_once("https://").unwrap();
    rest.split(['"', '\n', '\'']).next().unwrap().parse().unwrap()
}

/// Passes everything on until either end closes.
pub fn pass(mut from: TcpStream, mut to: TcpStream, mute: &AtomicBool) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if !mute.load(Ordering::SeqCst) && to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    if !mute.load(Ordering::SeqCst) {
        let _ = to.shutdown(Shutdown::Write);
    }
}
