// What the file shims share.
#ifndef SKY_FILES_INTERNAL_H
#define SKY_FILES_INTERNAL_H

/// Syncs the directory that `path` lies in. 0 or -errno.
int sky_directory_sync_of(const char *path);

#endif
