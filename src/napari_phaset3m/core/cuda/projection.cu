// Voxel-driven back-projection for direct methods; its CPU twin is core/rotation/footprint.py.

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
