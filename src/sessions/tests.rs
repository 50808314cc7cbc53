use crate::host::Runtime;
use crate::testing::Scripted;
use crate::testing::sessions::{MemorySessions, check};

#[tokio::test]
async fn the_store_in_memory_conforms() {
    check(&MemorySessions::default(), Scripted::new().now()).await;
}
