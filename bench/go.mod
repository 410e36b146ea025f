module github.com/shmkit/shmkit/bench

go 1.26.0

require (
	github.com/edsrzf/mmap-go v1.2.0
	github.com/panjf2000/ants/v2 v2.12.1
	github.com/shmkit/shmkit v0.0.0
)

require (
	github.com/fxamacker/cbor/v2 v2.10.0 // indirect
	github.com/x448/float16 v0.8.4 // indirect
	go.uber.org/goleak v1.3.0 // indirect
	golang.org/x/sync v0.11.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace github.com/shmkit/shmkit => ../
