// Voxel-driven back-projection for direct methods, and row action; their CPU twins are in
// core/rotation/footprint.py.

#define LANES 32
#define MAX_PARTS 32

// volume[z, x, y] += sum over tilts of the image, linearly interpolated where the voxel projects.
extern "C" __global__ void interpolate(
    const float *images, const double *cosine, const double *sine, float *volume,
    i64 n_tilt, i64 nz, i64 nx, i64 ny)
{
    ROWS(r, nz * nx)
    {
        double xc = r % nx - (nx - 1) / 2.0, zc = r / nx - (nz - 1) / 2.0;
        ALONG_Y(y, ny)
        {
            float total = 0.0f;
            for (i64 i = 0; i < n_tilt; ++i)
            {
                double at = xc * cosine[i] - zc * sine[i] + (nx - 1) / 2.0;
                i64 x0 = (i64)floor(at);
                float t = (float)(at - x0);
                const float *image = images + i * nx * ny;
                if (x0 >= 0 && x0 < nx) total += (1.0f - t) * image[x0 * ny + y];
                if (x0 + 1 >= 0 && x0 + 1 < nx) total += t * image[(x0 + 1) * ny + y];
            }
            volume[r * ny + y] += total;
        }
    }
}

// Kaczmarz' row action on the rays of one tilt, one after the other; see footprint.kaczmarz.
// Planes along y do not mix: a block owns LANES of them, and its threads share each ray's
// voxels. loss[y] gets half the squared residuals as they are met.
extern "C" __global__ void kaczmarz(
    float *volume, const float *image, const float *used, const i64 *start, const i64 *voxel,
    const float *weight, const float *norm, double *loss, float relaxation, float low, i64 nx, i64 ny)
{
    __shared__ float part[MAX_PARTS][LANES];
    i64 parts = blockDim.x < LANES ? 1 : blockDim.x / LANES, mine = threadIdx.x / LANES;
    i64 stride = blockDim.x < LANES ? blockDim.x : LANES;
    ROWS(block, (ny + LANES - 1) / LANES)
    for (i64 ray = 0; ray < nx; ++ray)
    {
        if (norm[ray] == 0.0f) continue;
        i64 begin = start[ray] + mine, end = start[ray + 1];
        for (i64 lane = threadIdx.x % LANES; lane < LANES; lane += stride)
        {
            i64 y = block * LANES + lane;
            float total = 0.0f;
            if (y < ny)
                for (i64 i = begin; i < end; i += parts) total += weight[i] * volume[voxel[i] * ny + y];
            part[mine][lane] = total;
        }
        __syncthreads();
        for (i64 lane = threadIdx.x % LANES; lane < LANES; lane += stride)
        {
            i64 y = block * LANES + lane;
            if (y >= ny) continue;
            float rest = image[ray * ny + y];
            for (i64 k = 0; k < parts; ++k) rest -= part[k][lane];
            rest *= used[ray * ny + y];
            if (mine == 0) loss[y] += 0.5 * rest * rest;
            rest *= relaxation / norm[ray];
            for (i64 i = begin; i < end; i += parts)
            {
                float *target = volume + voxel[i] * ny + y;
                *target = fmaxf(*target + weight[i] * rest, low);
            }
        }
        __syncthreads();
    }
}
