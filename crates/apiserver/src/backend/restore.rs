//! Coming back to an earlier state.

use crate::{backend::Backend, snapshot::Snapshot};

impl Backend {
    /// Returns all objects as they are now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        // No write comes in between: the objects of all resources are of one revision.
        let _writer = self.0.store.writer();
        let registry = self.registry();
        let kept = registry.all().iter().filter(|it| it.is_stored() && it.resource == *it.storage);
        let objects =
            kept.map(|it| (it.storage.clone(), self.0.store.list(&it.storage, "").objects));
        Snapshot::new(self.revision(), objects.collect())
    }

    /// Makes the objects what they were and forgets the way between.
    ///
    /// They keep their versions, which stand for the same content as before. The revision goes on growing,
    /// and whoever follows is told that history is gone.
    pub(crate) fn restore(&self, snapshot: &Snapshot) {
        let _writer = self.0.store.writer();
        self.0.store.restore(snapshot.objects());
        self.register_all();
    }
}
