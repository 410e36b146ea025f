package shm

// A Report is what somebody has found who looked from outside at a structure of shmkit's in shared memory: at a lock, a queue, a ring. Packages ring and
// semaphore make reports of theirs.
//
// Numbers are of one moment, or of several close to each other; whoever uses the structure changes them. Any of them may be wrong if somebody has written
// over the memory.
type Report struct {
	Kind    string   // "mutex", "queue"
	Size    int64    // bytes that it takes
	Facts   []Fact   // what there is to say, the most important first
	Parties []Party  // processes that have something of it, or wait for it
	Broken  []string // what no honest user of it can have written, a line for each
}

// A Fact is something about a structure, for people.
type Fact struct{ Name, Value string }

// A Party is a process that has to do with a structure.
type Party struct {
	Pid   int  // as the process itself sees it
	Alive bool // as far as can be seen from here: one in another pid namespace seems to have ended
	What  string
}
