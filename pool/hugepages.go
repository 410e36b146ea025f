package pool

import "github.com/shmkit/shmkit/shm"

// size returns the size of a page.
func (h HugePages) size() (int64, error) {
	if h == SmallPages {
		return pageBytes, nil
	}
	return shm.HugePageSize()
}

// make makes a segment of such pages.
func (h HugePages) make(name string, size int64) (*shm.Segment, error) {
	if h == ReservedHugePages {
		return shm.NewHuge(name, size)
	}
	seg, err := shm.New(name, size)
	if err != nil || h == SmallPages {
		return seg, err
	}
	if err := seg.AdviseHuge(); err != nil {
		seg.Close()
		return nil, err
	}
	return seg, nil
}

// advise does in a worker what make has done in the parent.
func (g geometry) advise(seg *shm.Segment) error {
	if g.page == pageBytes || seg.PageSize() == g.page {
		return nil
	}
	return seg.AdviseHuge()
}
