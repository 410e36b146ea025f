package shm

import "os"

// The limits of what closed mappings keep, and how many keep their addresses now.
const (
	MaxRetired      = maxRetired
	MaxRetiredBytes = maxRetiredBytes
)

func Retired() int {
	retired.Lock()
	defer retired.Unlock()
	return len(retired.mappings)
}

// SetMemoryFree makes Reserve believe that only n bytes are left, until restore.
func SetMemoryFree(n int64) (restore func()) {
	was := memoryFree
	memoryFree = func(int64) int64 { return n }
	return func() { memoryFree = was }
}

// SetFileRoom makes everything believe that files in /dev/shm can have only n bytes of memory, until restore.
func SetFileRoom(n int64) (restore func()) {
	was := fileRoom
	fileRoom = func(*os.File) (int64, error) { return n, nil }
	return func() { fileRoom = was }
}

// SetEuid makes this process another user's, as far as segments with names are concerned, until restore.
func SetEuid(uid int) (restore func()) {
	was := euid
	euid = func() int { return uid }
	return func() { euid = was }
}

// SetHugePagesFree makes everything believe that only n huge pages are left, until restore.
func SetHugePagesFree(n int64) (restore func()) {
	was := hugePagesFree
	hugePagesFree = func(int64) int64 { return n }
	return func() { hugePagesFree = was }
}

// SetShmemHuge makes AdviseHuge believe that the machine's answer is err, until restore.
func SetShmemHuge(err error) (restore func()) {
	was := checkShmemHuge
	checkShmemHuge = func() error { return err }
	return func() { checkShmemHuge = was }
}

// Explain says what it means for OpenRef that err came of opening the descriptor.
func (r FileRef) Explain(err error) error { return r.explain(err) }

const NamedDir = namedDir

func CheckName(name string) error { return checkName(name) }

const (
	MaxSmall  = maxSmall
	UnitBytes = unitBytes
)

func ClassSizes() []int64 { return classSizes }

func ClassOfSize(n int64) int { return classOfSize(n) }

// ArenaParts returns where an arena of n bytes has its words, its records and its data.
func ArenaParts(n, page int64) (words, records, data int64) {
	s := shapeOf(unitsFor(n), max(page, arenaPage))
	return s.words, s.records, s.data
}

// Word makes a word of a block or unit.
func Word(state uint8, h Holder, gen uint64) uint64 {
	return uint64(makeBlockWord(blockState(state), h, gen))
}
