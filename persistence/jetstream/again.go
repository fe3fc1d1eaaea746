package jetstream

import (
	"context"
	"time"
)

// askAgain is after how long without an answer a question is asked once more; then after twice as long, and so on.
const askAgain = 500 * time.Millisecond

// again asks something that changes nothing until requestTimeout, at growing intervals, and takes the first answer. A question that
// is asked while a stream has no leader is lost, also when one is elected a moment later: a node that waited for it alone stood
// still for requestTimeout, and the others called it silent. A slow answer to an earlier try counts, too.
func again[T any](ctx context.Context, ask func(context.Context) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	answers := make(chan answer, 8) // more than the tries that fit: nobody waits for what is not wanted any more
	try := func() {
		value, err := ask(ctx)
		answers <- answer{value, err}
	}
	for wait := askAgain; ; wait *= 2 {
		go try()
		select {
		case a := <-answers:
			return a.value, a.err
		case <-time.After(wait):
		}
	}
}
