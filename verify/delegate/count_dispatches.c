/* A Vulkan layer that counts compute dispatches, the launches that a graph costs a GPU.
 *
 * DETR2LITERT_DISPATCH_COUNT names a file of 16 bytes, two unsigned 64-bit numbers in this machine's byte order: the dispatches
 * recorded so far, and the Vulkan instances created with this layer, by which a reader knows that the layer was loaded. Whoever
 * wants a figure reads the file before and after. Only what a layer needs of Vulkan's and of the loader's interface is declared
 * here, so that no header has to be installed; names, numbers and structures are those of vulkan_core.h and vk_layer.h, whose
 * interfaces are stable (Khronos, "Architecture of the Vulkan Loader Interfaces", layer interface version 2).
 */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef void (*Function)(void);
typedef Function (*GetProcAddr)(void *handle, const char *name);
typedef int32_t (*CreateInstance)(const void *info, const void *allocator, void **instance);
typedef int32_t (*CreateDevice)(void *physical, const void *info, const void *allocator, void **device);
typedef void (*Dispatch)(void *commands, uint32_t x, uint32_t y, uint32_t z);
typedef void (*DispatchBase)(void *commands, uint32_t x0, uint32_t y0, uint32_t z0, uint32_t x, uint32_t y, uint32_t z);
typedef void (*DispatchIndirect)(void *commands, uint64_t buffer, uint64_t offset);

/* VkResult, VkLayerFunction, and VkStructureType's values for the loader's entries in a chain. */
enum { SUCCESS = 0, OUT_OF_HOST_MEMORY = -1, INITIALIZATION_FAILED = -3 };
enum { LAYER_LINK_INFO = 0, LOADER_INSTANCE_CREATE_INFO = 47, LOADER_DEVICE_CREATE_INFO = 48 };
enum { INTERFACE_VERSION = 2 };

/* VkLayerInstanceLink and VkLayerDeviceLink: the functions of the next layer, or of the driver. */
typedef struct Link {
    struct Link *next;
    GetProcAddr instance_proc;
    GetProcAddr other_proc; /* of a physical device in an instance's chain, of a device in a device's */
} Link;

/* VkLayerInstanceCreateInfo and VkLayerDeviceCreateInfo: what the loader puts into the chain of a create info. */
typedef struct LoaderInfo {
    int32_t type;
    const struct LoaderInfo *next;
    int32_t function;
    Link *link;
} LoaderInfo;

/* VkNegotiateLayerInterface. */
typedef struct {
    int32_t type;
    void *next;
    uint32_t version;
    GetProcAddr instance_proc, device_proc, physical_proc;
} Negotiation;

typedef struct {
    uint64_t dispatches, instances;
} Counts;

/* The next functions of one instance or device. Each handle begins with a pointer to the loader's table of functions, which its
 * command buffers share: that pointer is the key (same document, "Creating New Dispatchable Objects"). */
typedef struct Next {
    struct Next *older;
    const void *key;
    void *handle;
    GetProcAddr proc;
    Dispatch dispatch;
    DispatchBase base;
    DispatchIndirect indirect;
} Next;

static Counts *counts;
static Next *instances, *devices;

static const void *key_of(void *handle) { return *(const void **)handle; }

/* Newest first: the table of a handle that was destroyed may have been allocated again. */
static Next *find(Next **list, void *handle) {
    Next *each = __atomic_load_n(list, __ATOMIC_ACQUIRE);
    while (each && each->key != key_of(handle)) each = each->older;
    return each;
}

static void add(Next **list, Next *item) {
    item->older = __atomic_load_n(list, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(list, &item->older, item, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {}
}

static void count_dispatch(void) {
    if (counts) __atomic_fetch_add(&counts->dispatches, 1, __ATOMIC_RELAXED);
}

static void dispatch(void *commands, uint32_t x, uint32_t y, uint32_t z) {
    count_dispatch();
    find(&devices, commands)->dispatch(commands, x, y, z);
}

static void dispatch_base(void *commands, uint32_t x0, uint32_t y0, uint32_t z0, uint32_t x, uint32_t y, uint32_t z) {
    count_dispatch();
    find(&devices, commands)->base(commands, x0, y0, z0, x, y, z);
}

static void dispatch_indirect(void *commands, uint64_t buffer, uint64_t offset) {
    count_dispatch();
    find(&devices, commands)->indirect(commands, buffer, offset);
}

static LoaderInfo *loader_info(const void *info, int32_t type) {
    const LoaderInfo *each = ((const LoaderInfo *)info)->next;
    while (each && !(each->type == type && each->function == LAYER_LINK_INFO)) each = each->next;
    return (LoaderInfo *)each;
}

static void open_counts(void) {
    const char *path = getenv("DETR2LITERT_DISPATCH_COUNT");
    int file = path && !counts ? open(path, O_RDWR) : -1;
    if (file < 0) return;
    /* A shorter file would be mapped too, and writing to it would end the process. */
    if (lseek(file, 0, SEEK_END) >= (off_t)sizeof(Counts)) {
        void *memory = mmap(NULL, sizeof(Counts), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        if (memory != MAP_FAILED) counts = memory;
    }
    close(file);
}

static int32_t create_instance(const void *info, const void *allocator, void **instance) {
    LoaderInfo *loader = loader_info(info, LOADER_INSTANCE_CREATE_INFO);
    if (!loader) return INITIALIZATION_FAILED;
    GetProcAddr proc = loader->link->instance_proc;
    loader->link = loader->link->next;
    CreateInstance create = (CreateInstance)proc(NULL, "vkCreateInstance");
    if (!create) return INITIALIZATION_FAILED;
    Next *next = calloc(1, sizeof *next);
    if (!next) return OUT_OF_HOST_MEMORY;
    int32_t result = create(info, allocator, instance);
    if (result != SUCCESS) {
        free(next);
        return result;
    }
    next->key = key_of(*instance);
    next->handle = *instance;
    next->proc = proc;
    add(&instances, next);
    open_counts();
    if (counts) __atomic_fetch_add(&counts->instances, 1, __ATOMIC_RELAXED);
    return SUCCESS;
}

static int32_t create_device(void *physical, const void *info, const void *allocator, void **device) {
    LoaderInfo *loader = loader_info(info, LOADER_DEVICE_CREATE_INFO);
    if (!loader) return INITIALIZATION_FAILED;
    GetProcAddr instance_proc = loader->link->instance_proc, proc = loader->link->other_proc;
    loader->link = loader->link->next;
    /* A physical device shares its instance's table. */
    Next *instance = find(&instances, physical);
    CreateDevice create = instance ? (CreateDevice)instance_proc(instance->handle, "vkCreateDevice") : NULL;
    if (!create) return INITIALIZATION_FAILED;
    Next *next = calloc(1, sizeof *next);
    if (!next) return OUT_OF_HOST_MEMORY;
    int32_t result = create(physical, info, allocator, device);
    if (result != SUCCESS) {
        free(next);
        return result;
    }
    next->key = key_of(*device);
    next->handle = *device;
    next->proc = proc;
    next->dispatch = (Dispatch)proc(*device, "vkCmdDispatch");
    next->base = (DispatchBase)proc(*device, "vkCmdDispatchBase");
    next->indirect = (DispatchIndirect)proc(*device, "vkCmdDispatchIndirect");
    add(&devices, next);
    return SUCCESS;
}

static Function device_proc(void *device, const char *name) {
    if (!strcmp(name, "vkGetDeviceProcAddr")) return (Function)device_proc;
    Next *next = find(&devices, device);
    Function found = next ? next->proc(device, name) : NULL;
    /* A function that the driver lacks stays absent. */
    if (!found) return NULL;
    if (!strcmp(name, "vkCmdDispatch")) return (Function)dispatch;
    if (!strcmp(name, "vkCmdDispatchBase") || !strcmp(name, "vkCmdDispatchBaseKHR")) return (Function)dispatch_base;
    if (!strcmp(name, "vkCmdDispatchIndirect")) return (Function)dispatch_indirect;
    return found;
}

static Function instance_proc(void *instance, const char *name) {
    if (!strcmp(name, "vkGetInstanceProcAddr")) return (Function)instance_proc;
    if (!strcmp(name, "vkCreateInstance")) return (Function)create_instance;
    if (!strcmp(name, "vkCreateDevice")) return (Function)create_device;
    if (!strcmp(name, "vkGetDeviceProcAddr")) return (Function)device_proc;
    Next *next = instance ? find(&instances, instance) : NULL;
    return next ? next->proc(instance, name) : NULL;
}

__attribute__((visibility("default"))) int32_t vkNegotiateLoaderLayerInterfaceVersion(Negotiation *with) {
    if (with->version < INTERFACE_VERSION) return INITIALIZATION_FAILED;
    with->version = INTERFACE_VERSION;
    with->instance_proc = instance_proc;
    with->device_proc = device_proc;
    with->physical_proc = NULL;
    return SUCCESS;
}
