package sys

import (
	"io/fs"
	"path"
)

// A GroupFile is a file of a control group.
type GroupFile struct {
	Path string // from the root, without a slash in front
	Text string
}

// GroupFiles returns the files of that name that the control group of this process and those above it have, its own first; root is the root of the
// file system. Groups of version 1 have those of one controller each.
func GroupFiles(root fs.FS, controller, name string) (all []GroupFile) {
	for _, dir := range cgroupDirs(root, controller) {
		at := path.Join(dir, name)
		if text, err := fs.ReadFile(root, at); err == nil {
			all = append(all, GroupFile{at, string(text)})
		}
	}
	return all
}
