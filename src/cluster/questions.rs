//! Questions, each asked once for all who want to know the answer at the same time.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use dashmap::DashMap;
use dashmap::mapref::entry as map;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};

/// The wait for an answer. Whoever drops it waits no more, and what is asked goes on for the others who wait.
pub(crate) type Waiting<A> = Shared<BoxFuture<'static, A>>;

/// What is being asked, each with a number. A wait ends when nobody has it any more.
type UnderWay<Q, A> = DashMap<Q, (u64, WeakShared<BoxFuture<'static, A>>)>;

/// Questions `Q` with answers `A`.
pub(super) struct Questions<Q: Eq + Hash, A: Clone> {
    under_way: Arc<UnderWay<Q, A>>,
    /// To number what is being asked.
    asked: AtomicU64,
}

impl<Q: Eq + Hash, A: Clone> Default for Questions<Q, A> {
    fn default() -> Self {
        Self { under_way: Arc::default(), asked: AtomicU64::new(0) }
    }
}

/// Removes what is being asked when that ends.
struct Entry<Q: Eq + Hash, A: Clone> {
    under_way: Arc<UnderWay<Q, A>>,
    question: Q,
    number: u64,
}

impl<Q: Eq + Hash, A: Clone> Drop for Entry<Q, A> {
    fn drop(&mut self) {
        self.under_way.remove_if(&self.question, |_, (number, _)| *number == self.number);
    }
}

impl<Q, A> Questions<Q, A>
where
    Q: Clone + Eq + Hash + Send + Sync + 'static,
    A: Clone + Send + Sync + 'static,
{
    /// The answer to the question, which `answers` finds unless somebody waits for the same.
    pub(super) fn ask(&self, question: Q, answers: impl Future<Output = A> + Send + 'static) -> Waiting<A> {
        let number = self.asked.fetch_add(1, Relaxed) + 1;
        let entry = Entry { under_way: Arc::clone(&self.under_way), question: question.clone(), number };
        let answers = async move {
            let _entry = entry;
            answers.await
        };
        let new = answers.boxed().shared();
        let Some(weak) = new.downgrade() else { return new };
        let same = match self.under_way.entry(question) {
            map::Entry::Occupied(mut entry) => match entry.get().1.upgrade() {
                Some(same) => Some(same),
                None => {
                    entry.insert((number, weak));
                    None
                }
            },
            map::Entry::Vacant(entry) => {
                entry.insert((number, weak));
                None
            }
        };
        // The table is not locked any more: an answer that is dropped removes its entry.
        same.unwrap_or(new)
    }

    /// Whether nothing is being asked.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }
}
