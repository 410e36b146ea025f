package pool

import (
	"fmt"

	"github.com/shmkit/shmkit/internal/codec"
)

// A remoteError is an error on its way from a worker: plain data, because an error value
// may hold anything.
type remoteError struct {
	Message   string
	Panicked  bool
	Stack     string
	Sentinels string // names, separated by NUL
}

var remotePlan = mustPlan[remoteError]()

func mustPlan[T any]() *codec.Plan[T] {
	p, err := codec.For[T](nil, nil)
	if err != nil {
		panic(err)
	}
	return p
}

// remote turns what a task returned into plain data. An error that is itself a
// *TaskError, from a pool within the worker, is taken by its text.
func remote(err error) remoteError {
	return remoteError{Message: errorText(err), Sentinels: sentinelsIn(err)}
}

// errorText is err.Error(), which is the user's code and may panic.
func errorText(err error) (text string) {
	defer func() {
		if v := recover(); v != nil {
			text = fmt.Sprintf("(%T, whose Error method panicked: %v)", err, v)
		}
	}()
	return err.Error()
}

// encode returns the bytes of e.
func (e remoteError) encode() []byte {
	enc, err := remotePlan.Prepare(&e, nil)
	if err != nil {
		panic(err) // strings always encode
	}
	b := make([]byte, enc.Size())
	enc.CopyTo(b)
	return b
}

// encodeWithin returns e in at most n bytes, 256 or more: first the stack goes, then the
// sentinels, if they are what is large, then the end of the message. An error always arrives.
func (e remoteError) encodeWithin(n int) []byte {
	b := e.encode()
	if len(b) > n {
		e.Stack = ""
		b = e.encode()
	}
	if len(b) > n && len(e.Sentinels) > n/2 {
		e.Sentinels = ""
		b = e.encode()
	}
	if over := len(b) - n; over > 0 {
		const padding = 8
		e.Message = e.Message[:max(len(e.Message)-over-padding, 0)]
		b = e.encode()
	}
	return b
}

// decodeRemote is the reverse, in the parent, for bytes that a worker wrote and that
// have been copied since.
func decodeRemote(fn string, b []byte) error {
	var e remoteError
	if err := remotePlan.Decode(b, &e, false, nil); err != nil {
		return fmt.Errorf("%s: decode the worker's error: %w", fn, err)
	}
	return &TaskError{Func: fn, Message: e.Message, Panicked: e.Panicked, Stack: e.Stack,
		sentinels: sentinelsNamed(e.Sentinels)}
}
