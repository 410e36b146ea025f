package main

import (
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"sync/atomic"
)

const (
	// taskBytes is the size of a task: large enough that the words which many tasks
	// have in common are added up mostly in the workers, small enough that they all
	// finish at about the same time.
	taskBytes = 4 << 20

	// fileBytes is how many bytes a worker could count in the time it takes to open and
	// map a file, roughly: a thousand empty files are work, too.
	fileBytes = 8 << 10
)

// A task is what a worker gets to do at a time.
type task struct{ Pieces []piece }

// A piece is a part of a file: the words that start in [From, To). A word that runs over To
// belongs to it as a whole; one that began before From does not belong to it at all.
type piece struct {
	Path     string
	From, To int64
	Size     int64 // of the file, when it was found; what is appended later is not counted
}

// A root is a file or directory of the command line. It may be a symbolic link;
// those inside directories are not followed.
type root struct {
	path string
	info fs.FileInfo
}

// lookAt finds out what the paths are, so that a wrong one is known before any work is
// done.
func lookAt(paths []string) ([]root, error) {
	var roots []root
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() && !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is neither a regular file nor a directory (%v)", path, info.Mode())
		}
		roots = append(roots, root{path, info})
	}
	return roots, nil
}

// A walker makes tasks of files while it finds them.
type walker struct {
	keep func(name string) bool

	found atomic.Int64 // bytes so far
	err   error        // why it found no more; to be read when the tasks have come to their end

	task task // that is being filled
	cost int64
}

// tasks walks the roots. The sequence ends early if a directory cannot be read.
func (w *walker) tasks(roots []root) iter.Seq[task] {
	return func(yield func(task) bool) {
		for _, r := range roots {
			if w.err = w.walk(r, yield); w.err != nil {
				return
			}
		}
		w.flush(yield)
	}
}

// walk adds what is in a root. It returns fs.SkipAll when nobody wants more tasks.
func (w *walker) walk(r root, yield func(task) bool) error {
	if !r.info.IsDir() {
		return w.add(r.path, r.info, yield)
	}
	path := r.path
	if !os.IsPathSeparator(path[len(path)-1]) {
		path += string(filepath.Separator) // follows a symbolic link
	}
	return filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err // it has vanished
		}
		return w.add(path, info, yield)
	})
}

// add cuts a file into pieces.
func (w *walker) add(path string, info fs.FileInfo, yield func(task) bool) error {
	if !w.keep(info.Name()) {
		return nil
	}
	size := info.Size()
	w.found.Add(size)
	for from := int64(0); from == 0 || from < size; from += taskBytes {
		p := piece{Path: path, From: from, To: min(from+taskBytes, size), Size: size}
		cost := p.To - p.From + fileBytes
		if w.cost+cost > taskBytes && !w.flush(yield) {
			return fs.SkipAll
		}
		w.task.Pieces = append(w.task.Pieces, p)
		w.cost += cost
	}
	return nil
}

// flush yields the task, unless there is nothing in it.
func (w *walker) flush(yield func(task) bool) bool {
	t := w.task
	w.task, w.cost = task{}, 0
	return len(t.Pieces) == 0 || yield(t)
}
