//! A cable between a client and the API server that can be cut.

use std::{
    fs, io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// The cable. While it is cut, nobody gets through.
pub struct Cut {
    broken: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Cut {
    /// Puts a cable before the server of `kubeconfig` and gives a kubeconfig, in `folder`, that goes through it.
    pub fn before(kubeconfig: &Path, folder: &Path) -> (Self, PathBuf) {
        let text = fs::read_to_string(kubeconfig).unwrap();
        let (_, rest) = text.split_once("https://").unwrap();
        let server: SocketAddr = rest.split(['"', '\n', '\'']).next().unwrap().parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap();
        let copy = folder.join("through-a-cable");
        fs::write(&copy, text.replace(&server.to_string(), &own.to_string())).unwrap();
        let cut = Self {
            broken: Arc::default(),
            open: Arc::default(),
        };
        let (broken, open) = (cut.broken.clone(), cut.open.clone());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if broken.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(upstream) = TcpStream::connect(server) else {
                    continue;
                };
                let mut ends = open.lock().unwrap();
                for (from, to) in [(&client, &upstream), (&upstream, &client)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    thread::spawn(move || {
                        let _ = io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Write);
                    });
                }
                ends.extend([client, upstream]);
            }
        });
        (cut, copy)
    }

    /// Breaks every connection, and refuses new ones.
    pub fn cut(&self) {
        self.broken.store(true, Ordering::SeqCst);
        for end in self.open.lock().unwrap().drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    /// Lets new connections through.
    pub fn mend(&self) {
        self.broken.store(false, Ordering::SeqCst);
    }
}
