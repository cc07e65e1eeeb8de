//! How long it takes to find the rule that serves a request, among 1, 100, 1000 and 10,000 routes.

#[path = "cases/route.rs"]
mod cases;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

criterion_group!(benches, find);
criterion_main!(benches);

fn find(criterion: &mut Criterion) {
    for shape in cases::SHAPES {
        let mut group = criterion.benchmark_group(format!("route/find/{}", shape.name));
        for routes in [1, 100, 1000, 10_000] {
            let mut find = cases::find(&shape, routes);
            group.bench_function(BenchmarkId::from_parameter(routes), |bencher| bencher.iter(&mut find));
        }
    }
}
