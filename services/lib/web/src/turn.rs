//! A connection's turn: after everybody else who is ready.
//!
//! Each answer wakes its connection, and a runtime runs next what was woken last: many answers that are ready
//! together would go out one by one, each with a record and a system call of its own. A connection that lets the
//! others go first finds all of them waiting.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// A future polled when its runtime has nothing else to do, or after a while of work for others.
#[derive(Debug)]
pub(crate) struct LetPass<'a, F> {
    inner: Pin<&'a mut F>,
    /// The turn that was asked for.
    turn: Option<Arc<Turn>>,
}

#[derive(Debug)]
struct Turn {
    came: AtomicBool,
    task: Waker,
}

impl Wake for Turn {
    fn wake(self: Arc<Self>) {
        self.came.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

impl<'a, F: Future> LetPass<'a, F> {
    pub(crate) fn new(inner: Pin<&'a mut F>) -> Self {
        Self { inner, turn: None }
    }

    /// Asks the runtime for a turn; what wakes the task before it comes changes nothing.
    fn ask(&mut self, task: &Waker) {
        let turn = Arc::new(Turn { came: AtomicBool::new(false), task: task.clone() });
        let waker = Waker::from(Arc::clone(&turn));
        // the first poll of this future puts the waker aside until the others had their turn: that is all it is for
        let asked = pin!(tokio::task::yield_now()).poll(&mut Context::from_waker(&waker));
        debug_assert!(asked.is_pending());
        self.turn = Some(turn);
    }
}

impl<F: Future> Future for LetPass<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match &self.turn {
            None => self.ask(cx.waker()),
            Some(turn) if !turn.came.load(Ordering::Acquire) => {}
            Some(_) => {
                self.turn = None;
                return self.inner.as_mut().poll(cx);
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Mutex;

    use super::*;

    /// What three tasks say one after the other is heard together.
    #[tokio::test]
    async fn others_go_first() {
        let said = Arc::new(Mutex::new(Vec::new()));
        let (heard, wake) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(None::<Waker>)));
        let (ears, waiting, mouths) = (Arc::clone(&heard), Arc::clone(&wake), Arc::clone(&said));
        let listener = tokio::spawn(async move {
            let listening = pin!(poll_fn(|cx| {
                let found: Vec<u32> = mouths.lock().unwrap().drain(..).collect();
                let done = found.contains(&3);
                ears.lock().unwrap().push(found);
                *waiting.lock().unwrap() = Some(cx.waker().clone());
                if done { Poll::Ready(()) } else { Poll::Pending }
            }));
            LetPass::new(listening).await;
        });
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        for number in 1..=3 {
            let (said, wake) = (Arc::clone(&said), Arc::clone(&wake));
            tokio::spawn(async move {
                said.lock().unwrap().push(number);
                wake.lock().unwrap().as_ref().unwrap().wake_by_ref();
            });
        }
        listener.await.unwrap();
        assert_eq!(*heard.lock().unwrap(), [vec![], vec![1, 2, 3]]);
    }
}
